#!/usr/bin/env python3
"""Serves a directory over HTTP for tests, and writes down what it was asked.

usage: file_server.py DIRECTORY LOG PORT_FILE

Files have an ETag (of their content) and a Last-Modified (of their mtime). The first component of
a path may ask for something special, the rest then names the file:

    /redirect/X    302 to /X
    /plain/X       no ETag and no Last-Modified
    /once-503/X    503 with Retry-After: 0 for the first request, then the file
    /private/X     401 unless "Authorization: Bearer open sesame"
    /loop          302 to itself

LOG gets one line per request: "METHOD PATH STATUS USER-AGENT".
"""
import email.utils
import hashlib
import http.server
import os
import sys
import threading

directory, log_path, port_path = sys.argv[1:4]
refused_once = set()
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers=(), body=b""):
        agent = self.headers.get("User-Agent", "-")
        with lock, open(log_path, "a") as log:
            log.write(f"{self.command} {self.path} {status} {agent}\n")
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        special, _, rest = path.lstrip("/").partition("/")
        if path == "/loop":
            return self.answer(302, [("Location", "/loop")])
        if special == "redirect":
            return self.answer(302, [("Location", "/" + rest)])
        if special == "once-503" and path not in refused_once:
            refused_once.add(path)
            return self.answer(503, [("Retry-After", "0")])
        if special == "private" and self.headers.get("Authorization") != "Bearer open sesame":
            return self.answer(401)
        name = rest if special in ("plain", "once-503", "private") else path.lstrip("/")
        file = os.path.join(directory, name or "index")
        if not os.path.isfile(file):
            return self.answer(404)
        with open(file, "rb") as opened:
            body = opened.read()
        if special == "plain":
            return self.answer(200, [], body)
        etag = '"' + hashlib.sha256(body).hexdigest()[:16] + '"'
        headers = [("ETag", etag), ("Last-Modified",
                                    email.utils.formatdate(os.path.getmtime(file), usegmt=True))]
        if self.headers.get("If-None-Match") == etag:
            return self.answer(304, headers)
        return self.answer(200, headers, body)

    do_HEAD = do_GET


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(port_path + ".new", "w") as out:
    out.write(str(server.server_address[1]))
os.rename(port_path + ".new", port_path)
server.serve_forever()
