"""Reads the configured fields of an application form, and makes the queue's message of them."""

import json
import os
import re
import time
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from urllib.parse import parse_qsl

import phonenumbers
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2

from digests import hex_digest, uuid_of

FIELDS = json.loads(os.environ["FORM_FIELDS"])
COUNTRY = int(os.environ.get("DEFAULT_COUNTRY_CODE") or "91")
REGION = phonenumbers.region_code_for_country_code(COUNTRY)

LARGEST_BODY = 64 * 1024
SAME_FORM_SECONDS = 5 * 60
LONGEST_KEY = 255
EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,62}"
)


class Unreadable(Exception):
    """The request is not a form. Holds the status, a title and a detail."""

    def __init__(self, status: int, title: str, detail: str):
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail


class Invalid(Exception):
    """Some fields are wrong. Holds the list of them."""

    def __init__(self, errors: list[dict[str, str]]):
        super().__init__("invalid form")
        self.errors = errors


@dataclass(slots=True)
class Application:
    """A valid form: the message of the queue, and what the caps need to know of it."""

    id: str
    email: str
    attributes: list[tuple[str, str]]
    by_robot: bool
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def person(self) -> str:
        return hex_digest(self.email.encode())

    @property
    def payload(self) -> str:
        return hex_digest(self.email.encode(), *(part.encode() for pair in self.attributes for part in pair))

    def encode(self) -> str:
        message = {
            "version": 2,
            "id": self.id,
            "source": "form",
            "received_at": self.received_at.isoformat().replace("+00:00", "Z"),
            "action": "invite",
            "email": self.email,
            "attributes": [{"name": name, "value": value} for name, value in self.attributes],
        }
        return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def read(event: APIGatewayProxyEventV2) -> Application:
    """Reads a form. Raises `Unreadable` or `Invalid`."""
    key = (event.headers.get("idempotency-key") or "").strip()
    if len(key) > LONGEST_KEY:
        raise Unreadable(400, "The Idempotency-Key cannot be used", f"Send 1 to {LONGEST_KEY} characters.")
    texts = _texts(event)
    attributes, errors, email, by_robot = [], [], "", False
    for its in FIELDS:
        try:
            value = _value(its, texts.get(its["name"], []))
        except ValueError as error:
            errors.append({"field": its["name"], "detail": str(error)})
            continue
        if value is None:
            continue
        match its["kind"]:
            case "honeypot":
                by_robot = True
            case "email":
                email = value
            case _:
                attributes.append((its["attribute"], value))
    if errors:
        raise Invalid(errors)
    if key:
        parts = [b"form by key", email.encode(), key.encode()]
    else:
        period = (int(time.time()) // SAME_FORM_SECONDS).to_bytes(8, "big", signed=True)
        parts = [b"form by content", period, email.encode()]
        parts += [part.encode() for pair in attributes for part in pair]
    return Application(uuid_of(*parts), email, attributes, by_robot)


def _texts(event: APIGatewayProxyEventV2) -> dict[str, list[str]]:
    """The texts of each field of the request."""
    kind = (event.headers.get("content-type") or "").split(";")[0].strip().lower()
    body = event.decoded_body or ""
    if len(body) > LARGEST_BODY:
        raise Unreadable(413, "The form is too large", "Send at most 64 KiB.")
    texts: dict[str, list[str]] = {}
    if kind == "application/x-www-form-urlencoded":
        for name, text in parse_qsl(body, keep_blank_values=True):
            texts.setdefault(name, []).append(text)
    elif kind == "application/json":
        try:
            values = json.loads(body)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise Unreadable(400, "The body cannot be read", "Send a JSON object.")
        for name, value in values.items():
            if isinstance(value, bool):
                value = "true" if value else "false"
            if value is not None:
                texts[name] = [value if isinstance(value, str) else json.dumps(value)]
    else:
        raise Unreadable(415, "The content type is not supported", "Send a form or a JSON object.")
    return texts


def _value(its: dict, texts: list[str]) -> str | None:
    """The field's value in LeadSquared's spelling; none if it was not filled in."""
    values = {text for text in (text.strip() for text in texts) if text}
    if len(values) > 1:
        raise ValueError("was sent with several values")
    text = values.pop() if values else ""
    if not text or (text in ("null", "undefined") and its["kind"] not in ("text", "multiline")):
        if its.get("required"):
            raise ValueError("is required")
        return None
    if len(text) > its.get("limit", 255):
        raise ValueError(f"must be at most {its.get('limit', 255)} characters long")
    multiline = its["kind"] == "multiline"
    if any(unicodedata.category(c) == "Cc" and not (multiline and c in "\r\n\t") for c in text):
        raise ValueError("must be plain text")
    match its["kind"]:
        case "text" | "multiline":
            # A spreadsheet that a lead is exported to must not run it as a formula.
            return f"'{text}" if text[0] in "=+-@" and not text[1:2].isdigit() and len(text) > 1 else text
        case "email":
            address = text.lower()
            if not EMAIL.fullmatch(address) or len(address) > 254:
                raise ValueError("must be an e-mail address such as name@example.com")
            return address
        case "phone":
            return _phone(text)
        case "date":
            day = date.fromisoformat(text)
            if not its.get("earliest", "1900-01-01") <= day.isoformat() <= its.get("latest", "2100-12-31"):
                raise ValueError("must be within the range")
            return f"{day.isoformat()} 00:00:00"
        case "choice":
            if text not in its.get("options", []):
                raise ValueError("must be one of: " + ", ".join(its.get("options", [])))
            return text
        case "consent":
            ticked = text.lower() not in ("off", "false", "0", "no", "unchecked")
            if its.get("required") and not ticked:
                raise ValueError("must be ticked")
            return "true" if ticked else "false"
        case _:
            return text


def _phone(text: str) -> str:
    """The number as LeadSquared stores it, such as +91-9000000001. A number of the own country must be valid there,
    others must have a possible length."""
    try:
        number = phonenumbers.parse(text, REGION)
    except phonenumbers.NumberParseException as error:
        raise ValueError("must be a phone number such as +91-9000000001") from error
    is_own = number.country_code == COUNTRY
    if not (phonenumbers.is_valid_number(number) if is_own else phonenumbers.is_possible_number(number)):
        raise ValueError("must be a phone number such as +91-9000000001; the country has no such number")
    return f"+{number.country_code}-{phonenumbers.national_significant_number(number)}"
