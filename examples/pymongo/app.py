"""Links people left, in the MongoDB database that the platform puts beside the app."""

import os

from flask import Flask, jsonify, request
from pymongo import DESCENDING, MongoClient

app = Flask(__name__)
# Connects at the first use, and again whenever a connection was lost.
client = MongoClient(os.getenv("DATABASE_URL", "mongodb://localhost:27017/links"))
links = client.get_default_database()["links"]


@app.get("/")
def newest():
    found = links.find({}, {"_id": False}).sort("_id", DESCENDING).limit(50)
    return jsonify(list(found))


@app.post("/")
def add():
    url, title = request.form.get("url", ""), request.form.get("title", "")
    if not url.startswith(("http://", "https://")):
        return "A link begins with http:// or https://.\n", 400
    links.insert_one({"url": url[:2000], "title": title[:200]})
    return "Kept.\n", 201
