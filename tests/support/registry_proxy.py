#!/usr/bin/env python3
"""Stands before a registry and counts what passes, or gets in its way.

usage: registry_proxy.py UPSTREAM DIRECTORY     UPSTREAM is HOST:PORT

DIRECTORY/port gets the port. DIRECTORY/log gets one line per request: "PATH RANGE STATUS BYTES",
BYTES being those of the body that was sent. Files that tests create there change the answers:

    down      connections are closed without an answer
    corrupt   the first byte of every blob is another one
    norange   Range headers do not reach the registry
    stall     the body of a blob never comes
"""
import http.client
import http.server
import os
import sys
import threading
import time

upstream, directory = sys.argv[1:3]
lock = threading.Lock()


def wanted(what):
    return os.path.exists(os.path.join(directory, what))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if wanted("down"):
            self.close_connection = True
            return
        headers = {name: value for name, value in self.headers.items() if name != "Host"}
        if wanted("norange"):
            headers.pop("Range", None)
        connection = http.client.HTTPConnection(upstream)
        connection.request(self.command, self.path, headers=headers)
        reply = connection.getresponse()
        body = reply.read()
        is_blob = "/blobs/" in self.path
        if is_blob and wanted("corrupt") and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        with lock, open(os.path.join(directory, "log"), "a") as log:
            asked = self.headers.get("Range", "-")
            log.write(f"{self.path} {asked} {reply.status} {len(body)}\n")
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            if is_blob and wanted("stall"):
                time.sleep(600)
            try:
                self.wfile.write(body)
            except ConnectionError:  # whoever asked has seen enough
                self.close_connection = True

    do_HEAD = do_GET


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(os.path.join(directory, "port.new"), "w") as port:
    port.write(str(server.server_port))
os.rename(os.path.join(directory, "port.new"), os.path.join(directory, "port"))
server.serve_forever()
