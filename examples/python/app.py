"""Says how many days there are until the date in the path, such as /2030-01-01."""

from datetime import date


def app(environ, start_response):
    try:
        wanted = date.fromisoformat(environ["PATH_INFO"].strip("/"))
    except ValueError:
        status, text = "400 Bad Request", "ask for a date: /YYYY-MM-DD"
    else:
        days = (wanted - date.today()).days
        status, text = "200 OK", f"{abs(days)} days {'to go' if days > 0 else 'ago'}"
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{text}\n".encode()]
