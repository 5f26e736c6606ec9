"""Ask this host's own front over and over: arguments are the name, the method, the path and how often. Prints how often which status came."""

import collections
import http.client
import json
import ssl
import sys

name, method, path, count = sys.argv[1:]
context = ssl.create_default_context(cafile="/etc/sample/tls/ca.pem")
seen = collections.Counter()
for _ in range(int(count)):
    # By loopback, so that another client's count isn't touched; the host's own certificate is for localhost too.
    connection = http.client.HTTPSConnection("localhost", timeout=30, context=context)
    connection.request(method, path, headers={"Host": name, "Content-Length": "0"})
    seen[connection.getresponse().status] += 1
    connection.close()
print(json.dumps(seen))
