"""The caps in DynamoDB: how much a network, a person and a mailbox may send.

The requests are those of the Rust intake. One UpdateItem counts the network's windows. One TransactWriteItems takes the
places of the person and the mailbox, and marks the application.
"""

import ipaddress
import json
import os
import time
import unicodedata
from enum import Enum

from botocore.exceptions import ClientError

from clients import client
from digests import digest, hex_digest
from form import Application

TABLE = os.environ["LEDGER_TABLE"]
SALT = os.environ.get("NETWORK_SALT", "").encode()
LIMITS = {
    "person_and_network": 3,
    "mailbox": 20,
    "network": 300,
    "network_share": 5,
    "held": 100,
} | json.loads(os.environ.get("INTAKE_LIMITS") or "{}")

HOUR_MS = 60 * 60 * 1000
DAY = 24 * 60 * 60
WINDOW = 15 * 60
SITE_COUNTERS, SITE_FACTOR = 16, 5
INVITATIONS_KEPT = 30 * DAY
HELD_KEPT = 14 * DAY
CALLS, MAILS = 3, 1


def _daily_calls() -> int | None:
    daily = (os.environ.get("ALLOWANCE_DAILY") or "").strip()
    if daily.lower() == "none":
        return None
    if daily:
        return int(daily)
    day = 10_000 if int(os.environ.get("ALLOWANCE_CALLS") or 10) <= 10 else 100_000
    return day // 100 * int(os.environ.get("ALLOWANCE_SHARE") or 100)


DAILY_CALLS = _daily_calls()
DAILY_MAILS = int(os.environ.get("MAIL_BUDGET") or 10_000)


class Decision(Enum):
    """What becomes of an application."""

    ADMITTED = "admitted"
    REPEAT = "repeat"
    HELD = "held"
    TOO_MANY = "too-many"
    OTHER_PAYLOAD = "other-payload"


def decide(application: Application, address: str | None) -> Decision:
    """Counts the application, and holds it if it is over a cap."""
    now = time.time()
    own, site = _network(address)
    sender = "sender#" + hex_digest(b"day", b"network", site or own, (int(now) // DAY).to_bytes(8, "big"))
    bounds = _bounds(own, site, int(now) % DAY)
    mark = "mark#" + hex_digest(b"robot's application" if application.by_robot else b"application",
                                application.id.encode())
    over, held = _count(sender, bounds, int(now))
    if over or application.by_robot:
        return _hold(application, sender, [] if over else bounds, mark, held, int(now))

    places = [
        ("places#" + hex_digest(b"person and network", b"form", application.person.encode(), b"network", site or own),
         LIMITS["person_and_network"]),
        ("places#" + hex_digest(b"mailbox", b"form", _mailbox(application.email).encode()), LIMITS["mailbox"]),
    ]
    writes = [_take_place(pk, count, application.person, now) for pk, count in places]
    writes.append(_mark(mark, application, int(now)))
    try:
        client("dynamodb").transact_write_items(TransactItems=writes)
        return Decision.ADMITTED
    except client("dynamodb").exceptions.TransactionCanceledException as error:
        reasons = error.response["CancellationReasons"]
    marked = reasons[-1]
    if marked["Code"] == "ConditionalCheckFailed":
        _uncount(sender, bounds, int(now))
        is_other = marked.get("Item", {}).get("payload", {}).get("S") != application.payload
        return Decision.OTHER_PAYLOAD if is_other else Decision.REPEAT
    return _hold(application, sender, bounds, mark, held, int(now))


def _network(address: str | None) -> tuple[bytes, bytes | None]:
    """The salted hashes of the sender's network and, of an IPv6 address, of its site."""
    if not address:
        return b"", None
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.version == 4:
        return digest(b"network", SALT, ip.packed), None
    return digest(b"network", SALT, ip.packed[:8]), digest(b"site", SALT, ip.packed[:6])


def _bounds(own: bytes, site: bytes | None, second: int) -> list[tuple[str, int, int]]:
    """The network's counters: name, increment and largest value."""
    slot, most = second // WINDOW, LIMITS["network"]
    bounds = [(f"form-{slot}", 1, most)]
    if site:
        bounds = [(f"form-{slot}-{own[0] % SITE_COUNTERS:x}", 1, most), (f"form-{slot}", 1, most * SITE_FACTOR)]
    if DAILY_CALLS is not None:
        bounds.append(("calls", CALLS, max(DAILY_CALLS * LIMITS["network_share"] // 100, CALLS)))
    bounds.append(("mails", MAILS, max(DAILY_MAILS * LIMITS["network_share"] // 100, MAILS)))
    return bounds


def _add(pk: str, bounds: list[tuple[str, int, int]], sign: int, now: int) -> dict:
    """An UpdateItem that adds to these counters."""
    adds = ", ".join(f"#b{n} :b{n}" for n in range(len(bounds)))
    return {
        "TableName": TABLE,
        "Key": {"pk": {"S": pk}},
        "UpdateExpression": "SET #expires_at = :expires_at" + (f" ADD {adds}" if adds else ""),
        "ExpressionAttributeNames": {"#expires_at": "expires_at"} | {f"#b{n}": b[0] for n, b in enumerate(bounds)},
        "ExpressionAttributeValues": {":expires_at": {"N": str(now + 2 * DAY)}}
        | {f":b{n}": {"N": str(sign * b[1])} for n, b in enumerate(bounds)},
    }


def _count(pk: str, bounds: list[tuple[str, int, int]], now: int) -> tuple[bool, int]:
    """Counts one application. Whether a cap refused that, and how many of the network's applications are held."""
    update = _add(pk, bounds, 1, now)
    update["ConditionExpression"] = " AND ".join(
        f"(attribute_not_exists(#b{n}) OR #b{n} <= :m{n})" for n in range(len(bounds))
    )
    update["ExpressionAttributeValues"] |= {f":m{n}": {"N": str(b[2] - b[1])} for n, b in enumerate(bounds)}
    update["ReturnValues"] = "ALL_NEW"
    update["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    try:
        over, item = False, client("dynamodb").update_item(**update)["Attributes"]
    except client("dynamodb").exceptions.ConditionalCheckFailedException as error:
        over, item = True, error.response.get("Item", {})
    return over, int(item.get("held", {}).get("N", "0"))


def _uncount(pk: str, bounds: list[tuple[str, int, int]], now: int) -> None:
    client("dynamodb").update_item(**_add(pk, bounds, -1, now))


def _take_place(pk: str, count: int, person: str, now: float) -> dict:
    """Moves the newest place into slot 0 and every other one on. The oldest must be out of the window."""
    moved = "SET n0 = :now" + "".join(f", n{n} = if_not_exists(n{n - 1}, :none)" for n in range(1, count))
    values = {
        ":now": {"N": str(int(now * 1000))},
        ":begin": {"N": str(int(now * 1000) - HOUR_MS)},
        ":owner": {"S": person},
        ":expires_at": {"N": str(int(now) + HOUR_MS // 1000 + 1)},
    }
    if count > 1:
        values[":none"] = {"N": "0"}
    return {
        "Update": {
            "TableName": TABLE,
            "Key": {"pk": {"S": pk}},
            "UpdateExpression": moved + ", #owner = :owner, #expires_at = :expires_at",
            "ConditionExpression": f"attribute_not_exists(n{count - 1}) OR n{count - 1} <= :begin",
            "ExpressionAttributeNames": {"#owner": "owner", "#expires_at": "expires_at"},
            "ExpressionAttributeValues": values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def _mark(pk: str, application: Application, now: int) -> dict:
    return {
        "Update": {
            "TableName": TABLE,
            "Key": {"pk": {"S": pk}},
            "UpdateExpression": "SET #until = :until, #expires_at = :expires_at, #payload = :payload, #owner = :owner "
            "REMOVE #held",
            "ConditionExpression": "attribute_not_exists(#until) OR (#until <= :now AND #payload = :payload)",
            "ExpressionAttributeNames": {
                "#until": "until",
                "#owner": "owner",
                "#expires_at": "expires_at",
                "#payload": "payload",
                "#held": "held",
            },
            "ExpressionAttributeValues": {
                ":owner": {"S": application.person},
                ":payload": {"S": application.payload},
                ":until": {"N": str(now + HOUR_MS // 1000)},
                ":expires_at": {"N": str(now + INVITATIONS_KEPT)},
                ":now": {"N": str(now)},
            },
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def _hold(application: Application, sender: str, counted: list, mark: str, held: int, now: int) -> Decision:
    """Holds the application for an operator, unless its network has too many held ones."""
    if held >= LIMITS["held"]:
        if counted:
            _uncount(sender, counted, now)
        return Decision.TOO_MANY
    update = _add(sender, counted, -1, now)
    update["UpdateExpression"] += (", " if counted else " ADD ") + "#held :one"
    update["ExpressionAttributeNames"]["#held"] = "held"
    update["ExpressionAttributeValues"] |= {":one": {"N": "1"}}
    client("dynamodb").update_item(**update)
    item = {
        "pk": {"S": f"held#{application.id}"},
        "owner": {"S": application.person},
        "message": {"S": application.encode()},
        "expires_at": {"N": str(now + HELD_KEPT)},
        "mark": {"S": mark},
    }
    try:
        client("dynamodb").put_item(TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(pk)")
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
    return Decision.HELD


def _mailbox(email: str) -> str:
    """The address without its suffix, accents and width: `Asha+1@` and `asha@` are one mailbox."""
    local, _, domain = unicodedata.normalize("NFKC", email).lower().rpartition("@")
    plain = "".join(c for c in unicodedata.normalize("NFKD", local) if not unicodedata.combining(c))
    return plain[:1] + plain[1:].split("+")[0] + "@" + domain
