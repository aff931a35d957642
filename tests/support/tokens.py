"""Tokens for the tests: HS256 by hand, so that forged ones can be made too."""

import base64
import hashlib
import hmac
import json
import time

SECRET = "a secret of the tests, long enough for HS256"


def _part(data):
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(claims=None, secret=SECRET, alg="HS256", lifetime=600, **more):
    body = {"exp": int(time.time()) + lifetime, **(claims or {}), **more}
    text = _part({"alg": alg, "typ": "JWT"}) + b"." + _part(body)
    signature = b"" if alg == "none" else hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return (text + b"." + _part(signature)).decode()


def bearer(text):
    return {"Authorization": f"Bearer {text}"}
