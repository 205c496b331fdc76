"""What schemathesis cannot know: secrets of portal users, the signature of events, and rules that OpenAPI cannot express."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import re
import time
import zlib

import requests
import schemathesis
from hypothesis import strategies

SECRETS = json.loads(pathlib.Path(os.environ["SECRETS"]).read_text(encoding="utf-8"))

# Fields with rules that OpenAPI cannot express: phone numbers of a country, the digits of a code in any script, common
# passwords and the portal's policy, and keys that were used before.
PHONES = {"phone", "/attributes/Phone", "/attributes/Mobile"}
INEXPRESSIBLE = PHONES | {"code", "password", "new_password", "Idempotency-Key"}

# Title of the refusal of an event id that was used before. The id may be in a header or in the body.
ID_WAS_USED = "Another event has this id"

CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# https://schemathesis.readthedocs.io/en/stable/reference/checks/, and `schemathesis explain <code>`.
REJECTED_POSITIVE_DATA = "ST202"
IGNORED_AUTH = "ST401"


@schemathesis.hook
def before_load_schema(context, document):
    """Adds requests with the secrets of portal users to the document's examples."""
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    by_id = {operation["operationId"]: operation for operation in operations if isinstance(operation, dict)}
    for name, bodies in SECRETS["bodies"].items():
        content = by_id[name]["requestBody"]["content"]["application/json"]
        bodies = [content.pop("example"), *bodies]
        content["examples"] = {str(number): {"value": body} for number, body in enumerate(bodies)}
    for name, links in SECRETS["links"].items():
        link = {"name": "proxy", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        by_id[name]["parameters"] = [*by_id[name]["parameters"], {**link, "example": links[0]}]


@schemathesis.hook.apply_to(path="/login-links/{proxy}")
def before_generate_path_parameters(context, strategy):
    """Mixes valid login links with generated ones."""
    links = SECRETS["links"][context.operation.definition.raw["operationId"]]
    return strategy | strategies.sampled_from(links).map(lambda link: {"proxy": link})


@schemathesis.hook
def filter_case(context, case):
    """Leaves out bodies that their encoding cannot express, and texts that are invalid only before they are trimmed."""
    if not isinstance(case.body, dict):
        return True
    if case.media_type == "application/json":
        texts = [value for value in case.body.values() if isinstance(value, str)]
        return case.meta.generation.mode.is_positive or all(text == text.strip() for text in texts)
    # A form has no null, and the name of a part cannot hold control characters.
    return None not in case.body.values() and not any(CONTROL.search(name) for name in case.body)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes a quarter of the requests ask for pages, as browsers do, and signs events."""
    if isinstance(case.body, dict):
        # A word of a dictionary may have made an invalid body valid. Assigning the body makes schemathesis check it
        # again.
        case.body = case.body
    if zlib.crc32(repr((case.path_parameters, case.body)).encode()) % 4 == 0:
        case.headers["Accept"] = "text/html"
    if case.headers.get("webhook-signature") == os.environ["TO_BE_SIGNED"] and "webhook-timestamp" in case.headers:
        sign(case)


def sign(case):
    """Signs a request with the current time: https://www.standardwebhooks.com."""
    case.headers["webhook-timestamp"] = str(int(time.time()))
    body = requests.Request(**case.as_transport_kwargs(base_url="http://127.0.0.1")).prepare().body or b""
    body = body.encode() if isinstance(body, str) else body
    signed = f"{case.headers.get('webhook-id')}.{case.headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRETS["signing_secret"].removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    case.headers["webhook-signature"] = f"v1,{signature}"


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Keeps a failure unless it is about a rule that OpenAPI cannot express."""
    if failure.code == REJECTED_POSITIVE_DATA and response.status_code == 422:
        # A page does not name its field in a form that programs can read.
        is_page = response.headers["content-type"][0].startswith("text/html")
        if is_page or response.json()["title"] == ID_WAS_USED:
            return False
        return not {error["field"] for error in response.json().get("errors", [])} & INEXPRESSIBLE
    # LeadSquared's handshake has no body and needs no secret.
    return not (failure.code == IGNORED_AUTH and case.path == "/crm-events" and not response.request.body)


@schemathesis.deserializer("text/html")
def page(context, response):
    """Reads a page as its text."""
    return response.text
