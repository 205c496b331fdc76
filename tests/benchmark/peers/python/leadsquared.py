"""A client for the LeadSquared calls that an invitation needs, over connections that stay open.

https://apidocs.leadsquared.com/
"""

import os
import time
from urllib.parse import urlencode

import httpx
from aws_lambda_powertools.utilities import parameters
from botocore.config import Config

API = os.environ["LEADSQUARED_API_URL"].rstrip("/")
PORTAL_API = os.environ["LEADSQUARED_PORTAL_API_URL"].rstrip("/")
PORTAL_ID = os.environ["PORTAL_ID"]
PORTAL_URL = os.environ["PORTAL_URL"]
SECRET = os.environ["LEADSQUARED_KEYS_SECRET"]
TENANT_KEY_PATH = os.environ.get("LEADSQUARED_TENANT_AUTH_KEY_PATH") or "/api/AutoLogin/GenerateTenantAuthKey"
TENANT_KEY_SECONDS = (4 * 60 - 10) * 60

# httpx reads SSL_CERT_FILE itself (https://www.python-httpx.org/advanced/ssl/).
http = httpx.Client(timeout=httpx.Timeout(12, connect=3), limits=httpx.Limits(keepalive_expiry=15))
secrets = parameters.SecretsProvider(boto_config=Config(connect_timeout=2, read_timeout=5, tcp_keepalive=True))
_credentials: dict[str, tuple[str, float]] = {}


class Refused(Exception):
    """LeadSquared refused a call. Holds its exception type and message."""

    def __init__(self, status: int, kind: str, message: str):
        super().__init__(f"{status} {kind}")
        self.status, self.kind, self.message = status, kind, message

    @property
    def lead_exists(self) -> bool:
        text = self.message.lower()
        return "user already exists" in text or ("duplicate" in self.kind.lower() and "email" in text)


def keys() -> dict[str, str]:
    """The account's keys. Powertools keeps them for the given time."""
    return secrets.get(SECRET, transform="json", max_age=300)


def register(fields: list[tuple[str, str]], password: str) -> str:
    """Registers a new lead as a portal user, and returns its id (https://apidocs.leadsquared.com/register/)."""
    passwords = [("mx_Portal_Password", password), ("mx_Portal_Confirm_Password", password)]
    attributes = [{"Attribute": name, "Value": value} for name, value in [*fields, *passwords]]
    headers = {
        "authorization": _derived("/api/Access/PublicToken", "PublicAuthKey"),
        "x-lsq-registertoken": _derived("/api/Access/GetRegisterToken"),
        "x-lsq-portalid": PORTAL_ID,
    }
    body = {"RegisterOnlyNewLead": True, "LeadFields": attributes}
    return _portal("POST", "/api/Authentication/v2/Register", headers=headers, body=body)["LeadId"]


def lead_by_email(email: str) -> str | None:
    """The id of the lead with this address (https://apidocs.leadsquared.com/get-a-lead-by-email-id/)."""
    leads = _core("GET", "/v2/LeadManagement.svc/Leads.GetByEmailaddress", params={"emailaddress": email})
    return leads[0]["ProspectID"] if leads else None


def direct_link(lead: str) -> str:
    """A link that opens the portal signed in (https://apidocs.leadsquared.com/portal-auto-login/)."""
    tenant = _derived(TENANT_KEY_PATH, lifetime=TENANT_KEY_SECONDS)
    body = {"LeadId": lead, "PortalId": PORTAL_ID}
    key = _portal("POST", "/api/AutoLogin/Generate", query={"authkey": tenant}, body=body)["AuthKey"]
    query = urlencode({"leadId": lead, "portalId": PORTAL_ID, "authKey": key})
    return f"{PORTAL_URL}{'&' if '?' in PORTAL_URL else '?'}{query}"


def send_email(to: str, subject: str, html: str, text: str) -> None:
    """Mails a lead (https://apidocs.leadsquared.com/send-an-email-to-a-lead/)."""
    sender = os.environ.get("MAIL_SENDER")
    body = {
        "SenderType": "UserEmailAddress" if sender else "APICaller",
        "RecipientType": "LeadEmailAddress",
        "RecipientEmailFields": "EmailAddress",
        "Recipient": to,
        "EmailType": "Html",
        "EmailLibraryName": "",
        "ContentHTML": html,
        "ContentText": text,
        "Subject": subject,
        "IncludeEmailFooter": False,
    }
    if sender:
        body["Sender"] = sender
    _core("POST", "/v2/EmailMarketing.svc/SendEmailToLead", body=body)


def _derived(path: str, name: str | None = None, lifetime: float = float("inf")) -> str:
    """A credential that LeadSquared derives from the keys. It is kept until it expires or is refused."""
    value, until = _credentials.get(path, ("", 0))
    if time.monotonic() >= until:
        answer = _portal("GET", path)
        value = answer[name] if name else answer
        _credentials[path] = (value, time.monotonic() + lifetime)
    return value


def _portal(verb: str, path: str, *, headers=None, query=None, body=None):
    its = keys()
    params = {"accessKey": its["accessKey"], "secretKey": its["secretKey"], **(query or {})}
    return _call(verb, PORTAL_API + path, headers=headers, params=params, json=body)


def _core(verb: str, path: str, *, params=None, body=None):
    its = keys()
    headers = {"x-lsq-accesskey": its["accessKey"], "x-lsq-secretkey": its["secretKey"]}
    return _call(verb, API + path, headers=headers, params=params, json=body)


def _call(verb: str, url: str, **request):
    response = http.request(verb, url, **request)
    try:
        answer = response.json()
    except ValueError:
        answer = None
    failed = isinstance(answer, dict) and answer.get("Status") == "Error"
    if response.status_code == 200 and answer is not None and not failed:
        return answer
    if response.status_code == 401:
        # The next attempt reads the keys again and derives new credentials.
        _credentials.clear()
        secrets.clear_cache()
    its = answer if isinstance(answer, dict) else {}
    raise Refused(response.status_code, its.get("ExceptionType", ""), its.get("ExceptionMessage", ""))
