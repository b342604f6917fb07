from django.shortcuts import redirect, render

from .models import Note


def notes(request):
    if request.method == "POST":
        text = request.POST.get("text", "").strip()
        if text:
            Note.objects.create(text=text[:500])
        return redirect("/")
    return render(request, "notes/index.html", {"notes": Note.objects.order_by("-id")[:50]})
