"""The intake as a team with Powertools for AWS Lambda writes it: a form becomes a message of the queue.

https://docs.powertools.aws.dev/lambda/python/latest/core/event_handler/api_gateway/
"""

import json
import os

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import BotoCoreError, ClientError

import caps
import form
from caps import Decision
from clients import client

QUEUE = os.environ["INVITATIONS_QUEUE_URL"]
THANK_YOU = os.environ.get("THANK_YOU_URL")
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Thank you for applying</title></head>
<body><h1>Thank you for applying</h1>
<p>We are sending you an e-mail with a link that opens your application. It can take a few minutes.</p>
<p>Your receipt: {receipt}</p></body></html>"""

logger = Logger(service="application-form")
metrics = Metrics(namespace=os.environ.get("METRICS_NAMESPACE", "benchmark"), service="application-form")
app = APIGatewayHttpResolver()
# The clients are made in start, where Lambda gives a full core.
client("dynamodb")
client("sqs")


@app.post("/applications")
def accept() -> Response:
    event = app.current_event
    application = form.read(event)
    decision = caps.decide(application, event.request_context.http.source_ip)
    match decision:
        case Decision.ADMITTED | Decision.REPEAT:
            client("sqs").send_message(
                QueueUrl=QUEUE,
                MessageGroupId=application.person,
                MessageDeduplicationId=f"{application.id}-{application.payload[:16]}",
                MessageBody=application.encode(),
            )
            metrics.add_metric(name="Accepted", unit=MetricUnit.Count, value=1)
            logger.info("invitation accepted", receipt=application.id, source="form")
        case Decision.HELD:
            metrics.add_metric(name="Outcomes", unit=MetricUnit.Count, value=1)
            logger.warning("held an application that is over a cap", receipt=application.id, source="form")
        case Decision.TOO_MANY:
            return problem(429, "Too many attempts", "Too many came from your network. Please send it again later.")
        case Decision.OTHER_PAYLOAD:
            return problem(422, "The Idempotency-Key was used before", "Send the form with a new key.")
    return accepted(event, application.id)


@app.exception_handler(form.Invalid)
def invalid(error: form.Invalid) -> Response:
    return problem(422, "The form is not complete", "Some fields need your attention.", errors=error.errors)


@app.exception_handler(form.Unreadable)
def unreadable(error: form.Unreadable) -> Response:
    return problem(error.status, error.title, error.detail)


@app.exception_handler([ClientError, BotoCoreError])
def not_stored(error: Exception) -> Response:
    logger.exception("not stored: the sender is asked to send it again")
    metrics.add_metric(name="NotStored", unit=MetricUnit.Count, value=1)
    return problem(503, "Please try again in a moment", "Your application was not stored. Please send it again.")


def accepted(event, receipt: str) -> Response:
    """The same answer for every applicant: it does not show whether LeadSquared knows the person."""
    if "text/html" not in (event.headers.get("accept") or ""):
        body = json.dumps({"status": "accepted", "receipt": receipt}, separators=(",", ":"))
        return Response(status_code=202, content_type="application/json", body=body)
    if THANK_YOU:
        return Response(status_code=303, headers={"Location": THANK_YOU})
    return Response(status_code=202, content_type="text/html; charset=utf-8", body=PAGE.format(receipt=receipt))


def problem(status: int, title: str, detail: str, **more) -> Response:
    """A problem document (https://www.rfc-editor.org/rfc/rfc9457)."""
    body = json.dumps({"status": status, "title": title, "detail": detail} | more)
    headers = {"Retry-After": "5"} if status in (429, 503) else None
    return Response(status_code=status, content_type="application/problem+json", body=body, headers=headers)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict, context) -> dict:
    return app.resolve(event, context)
