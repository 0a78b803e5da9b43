"""The image's health check: that the server's process answers; a database that is away is no reason to restart it."""  # noqa: INP001 - a script

import http.client
import os
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["SERVER_PORT"]), timeout=4)
connection.request("GET", "/health/live")
sys.exit(connection.getresponse().status != http.client.OK)
