from django.shortcuts import render


def hello(request):
    return render(request, "hello/index.html", {"name": request.GET.get("name", "World")})
