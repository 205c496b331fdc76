"""The same worker with Powertools' idempotency: an invitation that ended is not repeated when it is delivered again.

https://docs.powertools.aws.dev/lambda/python/latest/utilities/idempotency/
"""

import os

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

import invitations
from clients import client

KEPT = 30 * 24 * 60 * 60

logger = Logger(service="invitation")
metrics = Metrics(namespace=os.environ.get("METRICS_NAMESPACE", "benchmark"), service="invitation")
processor = SqsFifoPartialProcessor(skip_group_on_error=True)
config = IdempotencyConfig(event_key_jmespath="id", expires_after_seconds=KEPT)
table = DynamoDBPersistenceLayer(
    table_name=invitations.TABLE, key_attr="pk", expiry_attr="expires_at", boto3_client=client("dynamodb")
)


@idempotent_function(data_keyword_argument="invitation", config=config, persistence_store=table)
def invite(invitation: dict) -> str:
    return invitations.invite(invitation)


def handle(record: SQSRecord) -> None:
    invitation = invitations.decode(record.body)
    try:
        outcome = invite(invitation=invitation)
    except Exception:
        logger.exception("attempt failed: the message is delivered again", receipt=invitation["id"])
        raise
    metrics.add_metric(name="Outcomes", unit=MetricUnit.Count, value=1)
    logger.info("invitation ended", receipt=invitation["id"], outcome=outcome)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict, context) -> dict:
    config.register_lambda_context(context)
    return process_partial_response(event=event, record_handler=handle, processor=processor, context=context)
