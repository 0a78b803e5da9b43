"""The image's health check: that the server's process answers; a database that is away is no reason to restart it."""  # noqa: INP001 - a script

import http.client
import os
import ssl
import sys

port = int(os.environ["SERVER_PORT"])
# Its certificate is for the agents to check: it need not name 127.0.0.1.
connection = (
    http.client.HTTPSConnection("127.0.0.1", port, timeout=4, context=ssl._create_unverified_context())  # noqa: S323, SLF001
    if os.environ.get("SERVER_SSL_CERTFILE")
    else http.client.HTTPConnection("127.0.0.1", port, timeout=4)
)
connection.request("GET", "/health/live")
sys.exit(connection.getresponse().status != http.client.OK)
