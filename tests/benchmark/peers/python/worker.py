"""The worker as a team with Powertools for AWS Lambda writes it first: no ledger, failed messages go back to the queue.

https://docs.powertools.aws.dev/lambda/python/latest/utilities/batch/
"""

import os

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

import invitations

logger = Logger(service="invitation")
metrics = Metrics(namespace=os.environ.get("METRICS_NAMESPACE", "benchmark"), service="invitation")
# A failed message holds back only the later messages of its own person.
processor = SqsFifoPartialProcessor(skip_group_on_error=True)


def handle(record: SQSRecord) -> None:
    invitation = invitations.decode(record.body)
    try:
        outcome = invitations.invite(invitation)
    except Exception:
        logger.exception("attempt failed: the message is delivered again", receipt=invitation["id"])
        raise
    metrics.add_metric(name="Outcomes", unit=MetricUnit.Count, value=1)
    logger.info("invitation ended", receipt=invitation["id"], outcome=outcome)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict, context) -> dict:
    return process_partial_response(event=event, record_handler=handle, processor=processor, context=context)
