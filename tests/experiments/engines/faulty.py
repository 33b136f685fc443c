"""A way to a server on this machine on which requests fail as they do on a busy day."""

import contextlib
import http.client
import http.server
import threading

ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>{}</Message></Error>"
SLOW_DOWN = (503, ERROR.format("SlowDown", "Please reduce your request rate."))
DENIED = (403, ERROR.format("AccessDenied", "Access Denied"))


@contextlib.contextmanager
def before(port, fault):
    """Yields the address of a proxy, and the requests that it has seen, as (method, path).

    Args:
        port: of the server.
        fault: (method, path, how often this was asked before) → the answer in place of the server's, None to ask it.
    """
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = (self.command, self.path)
            found = fault(*request, seen.count(request))
            seen.append(request)
            if found:
                status, text = found
                headers, content = [("Content-Type", "application/xml")], text.encode()
            else:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request(self.command, self.path, body, dict(self.headers))
                response = connection.getresponse()
                status, headers, content = response.status, response.getheaders(), response.read()
                connection.close()
            self.send_response_only(status)
            length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else len(content)
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else content)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815 - as http.server has them

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
