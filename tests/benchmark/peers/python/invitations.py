"""What both Python workers do with one invitation: register the person, make a link, and mail it."""

import hashlib
import html
import json
import os
import secrets
import time
from base64 import urlsafe_b64encode

import leadsquared
from clients import client

LINK_MODE = os.environ.get("LINK_MODE") or "on-click"
LINK_URL = os.environ.get("LINK_URL", "")
LINK_HOURS = int(os.environ.get("LINK_VALID_HOURS") or 72)
TABLE = os.environ["LEDGER_TABLE"]
ORGANISATION = os.environ.get("ORGANISATION", "")
SUBJECT = os.environ.get("MAIL_SUBJECT") or "Your sign-in link"
UNPROVEN_FIELD = os.environ.get("UNPROVEN_FIELD") or "mx_Unproven_Sign_In"
DIRECT_HOURS = 4
LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
LINKS_KEPT = 30 * 24 * 60 * 60

TEXT = """Your application at {organisation}

Open your application with this link; it signs you in, so you need no password:

{link}

The link works for {hours} hours. It signs in as you: please do not
forward this mail.

If you did not ask for this, another person mistyped an address, and you can
delete this mail.
"""
HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{subject}</title>
</head>
<body style="margin:0;padding:24px;background:#f4f5f7;font-family:Arial,Helvetica,sans-serif;font-size:16px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center">
<table role="presentation" width="100%" style="max-width:560px;background:#ffffff"><tr><td style="padding:32px">
<h1 style="margin:0 0 16px;font-size:22px;line-height:1.3">Your application at {organisation}</h1>
<p>Press the button to open your application; it signs you in, so you need no password.</p>
<p><a href="{link}" style="padding:12px 24px;background:#1b4dd8;color:#ffffff">Open my application</a></p>
<p>The button works for {hours} hours. It signs in as you: please do not forward this mail.</p>
<p>If you did not ask for this, another person mistyped an address, and you can delete this mail.</p>
</td></tr></table>
</td></tr></table>
</body>
</html>
"""

if LINK_MODE == "on-click":
    # Made in start, where Lambda gives a full core.
    client("dynamodb")


def decode(body: str) -> dict:
    """Reads the queue's message."""
    invitation = json.loads(body)
    if invitation["version"] not in (1, 2, 3) or "email" not in invitation:
        raise ValueError("not an invitation that this worker knows")
    return invitation


def invite(invitation: dict) -> str:
    """Registers the person and mails a link. Returns the outcome."""
    email = invitation["email"]
    fields = [("EmailAddress", email), (UNPROVEN_FIELD, "unproven: identifiers")]
    fields += [(its["name"], its["value"]) for its in invitation["attributes"]]
    outcome = "invited"
    try:
        lead = leadsquared.register(fields, _password())
    except leadsquared.Refused as refusal:
        if not refusal.lead_exists:
            raise
        lead, outcome = leadsquared.lead_by_email(email), "invited-existing"
        if lead is None:
            raise
    if LINK_MODE == "direct":
        link, hours = leadsquared.direct_link(lead), DIRECT_HOURS
    else:
        link, hours = _on_click_link(lead, invitation), LINK_HOURS
    words = {"organisation": ORGANISATION, "link": link, "hours": hours, "subject": SUBJECT}
    in_html = {name: html.escape(str(value)) for name, value in words.items()}
    leadsquared.send_email(email, SUBJECT, HTML.format(**in_html), TEXT.format(**words))
    return outcome


def _password() -> str:
    """A random portal password that no person gets, with every class of characters in it."""
    return "Aa1!" + "".join(secrets.choice(LETTERS) for _ in range(32))


def _on_click_link(lead: str, invitation: dict) -> str:
    """A link with a token. The table holds the token's hash; the page behind the link signs the person in."""
    token, now = secrets.token_bytes(32), int(time.time())
    item = {
        "pk": {"S": "link#" + hashlib.sha256(token).hexdigest()},
        "lead_id": {"S": lead},
        "invitation": {"S": invitation["id"]},
        "made_at": {"N": str(now)},
        "valid_until": {"N": str(now + LINK_HOURS * 60 * 60)},
        "expires_at": {"N": str(now + LINKS_KEPT)},
    }
    client("dynamodb").put_item(TableName=TABLE, Item=item)
    return LINK_URL + urlsafe_b64encode(token).rstrip(b"=").decode()
