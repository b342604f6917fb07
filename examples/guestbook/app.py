"""A guestbook: Flask and SQLAlchemy on the database that the platform puts beside the app."""

import os

from flask import Flask, redirect, render_template, request
from sqlalchemy import DateTime, String, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

db_url = os.getenv("DATABASE_URL", "postgresql://localhost:5432/mydatabase")
# DATABASE_URL uses postgres:// but SQLAlchemy only accepts postgresql://
db_url = db_url.replace("postgres://", "postgresql://")
# A server that was started anew, or a database that was restored, closes connections: each is looked at before it is used.
engine = create_engine(db_url, pool_pre_ping=True)


class Base(DeclarativeBase):
    pass


class Entry(Base):
    __tablename__ = "entries"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    text: Mapped[str] = mapped_column(String(2000))
    at = mapped_column(DateTime(timezone=True), server_default=func.now())


def start_app():
    app = Flask(__name__)
    Base.metadata.create_all(engine)

    @app.get("/")
    def entries():
        with Session(engine) as session:
            newest = session.scalars(select(Entry).order_by(Entry.id.desc()).limit(50)).all()
            return render_template("entries.html", entries=newest)

    @app.post("/")
    def sign():
        name, text = request.form.get("name", "").strip(), request.form.get("text", "").strip()
        if not name or not text:
            return "A name and a text, please.\n", 400
        with Session(engine) as session:
            session.add(Entry(name=name[:80], text=text[:2000]))
            session.commit()
        return redirect("/", code=303)

    return app
