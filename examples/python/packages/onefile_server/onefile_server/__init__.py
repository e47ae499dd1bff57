"""Serves one WSGI application with the standard library's server."""

import argparse
import importlib
import os
import sys
from wsgiref.simple_server import make_server
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator


def load(name):
    module, _, attribute = name.partition(":")
    sys.path.insert(0, os.getcwd())
    return getattr(importlib.import_module(module), attribute or "app")


def ask(app, path):
    """The answer to one GET, checked against the rules of WSGI."""
    environ = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    status = []
    answer = validator(app)(environ, lambda line, headers, exc=None: status.append(line))
    try:
        return status, b"".join(answer).decode()
    finally:
        answer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")
    parser.add_argument("--check", metavar="PATH", help="answer one request and exit")
    parser.add_argument("app", metavar="MODULE:NAME")
    options = parser.parse_args()
    app = load(options.app)
    if options.check:
        status, body = ask(app, options.check)
        print(*status, body, end="")
        return
    host, port = options.bind.rsplit(":", 1)
    make_server(host, int(port), app).serve_forever()
