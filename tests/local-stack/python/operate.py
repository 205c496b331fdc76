"""What an operator asks of a deployed stack: its dead letters, putting them back, the course of one invitation, and to
forget a person.

Reads a request from standard input and writes the answer to standard output, both JSON:

    {"endpoint": "http://127.0.0.1:4303", "stack": "applicant-onboarding", "ask": "dead-letters"}
    {"endpoint": null, "stack": "applicants", "ask": "put-back", "class": "rejected", "cause": null, "receipt": null}
    {"endpoint": null, "stack": "applicants", "ask": "explain", "receipt": "..."}
    {"endpoint": null, "stack": "applicants", "ask": "forget", "email": "...", "person": "the ledger's key of them"}

Without an endpoint it is AWS, with the account and the region that the AWS CLI would use. No answer holds anything of a
person: of a message only what the functions wrote on its envelope, and its receipt.
"""

import collections
import datetime
import decimal
import json
import os
import sys

# How long a message that is looked at stays out of sight of others, unless it is given back earlier: time enough to put
# some ten thousand back.
HOLD_SECONDS = 900
KEPT_DAYS = 30


class Refused(Exception):
    """A reason to stop that says what to do about it."""


class Stack:
    """A deployed stack: its outputs, and where its functions log."""

    def __init__(self, client, name: str, outputs: dict, logs: dict):
        self.client, self.name, self.outputs, self.logs = client, name, outputs, logs

    @classmethod
    def named(cls, client, name: str) -> "Stack":
        cloudformation = client("cloudformation")
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
        functions, groups = {}, {}
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=name):
            for resource in page["StackResourceSummaries"]:
                if resource["ResourceType"] == "AWS::Lambda::Function":
                    functions[resource["LogicalResourceId"]] = resource["PhysicalResourceId"]
                if resource["ResourceType"] == "AWS::Logs::LogGroup":
                    groups[resource["LogicalResourceId"]] = resource["PhysicalResourceId"]
        # A function's log group is named after it; without one, as in older stacks, Lambda makes one.
        logs = {logical: groups.get(f"{logical}Logs", f"/aws/lambda/{name}") for logical, name in functions.items()}
        return cls(client, name, outputs, logs)

    def output(self, name: str) -> str:
        if name not in self.outputs:
            raise Refused(f"the stack {self.name} has no output {name}: it is another stack, or of an older template")
        return self.outputs[name]


class DeadLetters:
    """The dead-letter queue. Messages are received to be seen, and given back at the end of the `with` block."""

    def __init__(self, stack: Stack):
        self.sqs = stack.client("sqs")
        self.url = stack.output("DeadLettersQueueUrl")
        self.held = []

    def __enter__(self):
        self.receive()
        return self

    def __exit__(self, *_):
        # What is not given back comes back by itself when its time is over.
        for start in range(0, len(self.held), 10):
            entries = [
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
                for place, message in enumerate(self.held[start : start + 10])
            ]
            self.sqs.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)

    def receive(self) -> None:
        """Every message that can be received now. One that is laid aside meanwhile may come too, but none comes for ever."""
        seen = set()
        while True:
            messages = self.sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=HOLD_SECONDS,
                WaitTimeSeconds=1,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            ).get("Messages", [])
            new = [message for message in messages if message["MessageId"] not in seen]
            if not new:
                return
            seen.update(message["MessageId"] for message in new)
            self.held += new

    def delete(self, message: dict) -> None:
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        self.held.remove(message)

    def out_of_sight(self) -> int:
        """How many more there are: those that wait behind another one of the same person, and those somebody else holds."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return max(sum(int(attributes[name]) for name in names) - len(self.held), 0)


def envelope(message: dict) -> dict:
    """What is written on a dead letter. Nothing is, where the queue itself laid it aside."""
    written = {name: value.get("StringValue") for name, value in message.get("MessageAttributes", {}).items()}
    return {
        "id": message["MessageId"],
        "class": written.get("class", "undelivered"),
        "cause": written.get("cause", "received too often: no worker lived to judge it"),
        "receipt": written.get("receipt") or receipt_in(message["Body"]),
        "laid_aside": int(message["Attributes"]["SentTimestamp"]),
    }


def receipt_in(body: str):
    """The receipt of an invitation, if the message is one."""
    try:
        receipt = json.loads(body).get("id")
    except (ValueError, AttributeError):
        return None
    return receipt if isinstance(receipt, str) else None


def is_chosen(letter: dict, request: dict) -> bool:
    """Whether a dead letter is as the request wants it; what the request leaves open fits every one."""
    wanted_class, wanted_cause, wanted_receipt = request.get("class"), request.get("cause"), request.get("receipt")
    return (
        (wanted_class is None or letter["class"] == wanted_class)
        and (wanted_cause is None or wanted_cause.lower() in letter["cause"].lower())
        and (wanted_receipt is None or letter["receipt"] == wanted_receipt)
    )


def list_dead_letters(stack: Stack, _: dict) -> dict:
    with DeadLetters(stack) as letters:
        return {"letters": [envelope(message) for message in letters.held], "out_of_sight": letters.out_of_sight()}


def put_back(stack: Stack, request: dict) -> dict:
    """Sends the chosen messages to the queue of invitations again and then deletes the dead letters."""
    invitations, done = stack.output("InvitationsQueueUrl"), []
    with DeadLetters(stack) as letters:
        # All were received before the first goes back: what is refused again must not be met again in the same run.
        for message in list(letters.held):
            letter = envelope(message)
            if not is_chosen(letter, request):
                continue
            letters.sqs.send_message(
                QueueUrl=invitations,
                MessageBody=message["Body"],
                MessageGroupId=message["Attributes"]["MessageGroupId"],
                # The same for the same dead letter: if it could not be deleted, putting it back again is no second message.
                MessageDeduplicationId=f"put-back-{message['MessageId']}",
            )
            letters.delete(message)
            done.append(letter)
        return {"letters": done, "out_of_sight": letters.out_of_sight(), "kept": len(letters.held)}


def explain(stack: Stack, request: dict) -> dict:
    receipt = request["receipt"]
    item = stack.client("dynamodb").get_item(
        TableName=stack.output("LedgerTable"), Key={"pk": {"S": f"invitation#{receipt}"}}, ConsistentRead=True
    ).get("Item")
    ledger = plain(item) if item else None
    with DeadLetters(stack) as letters:
        # The last one, where it was laid aside, put back and laid aside again.
        found = [letter for letter in map(envelope, letters.held) if letter["receipt"] == receipt]
    dead_letter = max(found, key=lambda letter: letter["laid_aside"], default=None)
    return {"ledger": ledger, "dead_letter": dead_letter, "log": log_of(stack, receipt, ledger)}


def forget(stack: Stack, request: dict) -> dict:
    """Deletes what the ledger has of a person, and their dead letters. Doing it again does what was not done yet."""
    dynamodb, table = stack.client("dynamodb"), stack.output("LedgerTable")
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    items = [plain(item) for page in pages for item in page["Items"]]
    known = items_of(items, request["person"])
    with DeadLetters(stack) as letters:
        theirs = [message for message in letters.held if is_about(message, request, known)]
        for message in theirs:
            letters.delete(message)
        out_of_sight = letters.out_of_sight()
    for pk in known["keys"]:
        dynamodb.delete_item(TableName=table, Key={"pk": {"S": pk}})
    waiting = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.output("InvitationsQueueUrl"),
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    erased = collections.Counter(pk.split("#")[0] for pk in known["keys"])
    return {
        "erased": erased,
        "dead_letters": len(theirs),
        "out_of_sight": out_of_sight,
        "waiting": sum(map(int, waiting.values())),
        "leads": sorted(known["leads"]),
    }


def items_of(items: list, person: str) -> dict:
    """The items about a person, and the leads and the invitations by which they were found.

    An item by which others are found comes after them, so that when erasing is cut short the next time finds the rest.
    """
    by_key = {item["pk"]: item for item in items}
    mails = by_key.get(f"person#{person}", {}).get("begun", [])
    # Items of the first version do not name the person; the mails begun to them and their lead do.
    named = {f"invitation#{mail['invitation']}" for mail in mails}
    invitations = [item for item in items if item["pk"].startswith("invitation#")]
    direct = {item["pk"] for item in invitations if item.get("person") == person or item["pk"] in named}
    leads = {by_key[pk]["lead_id"] for pk in direct if "lead_id" in by_key[pk]}
    by_lead = {item["pk"] for item in invitations if item.get("lead_id") in leads} - direct
    names = {pk.partition("#")[2] for pk in direct | by_lead}
    links = {
        item["pk"]
        for item in items
        if item["pk"].startswith("link#") and (item.get("lead_id") in leads or item.get("invitation") in names)
    }
    groups = [links, {f"lead#{lead}" for lead in leads}, by_lead, direct, {f"person#{person}"}]
    keys = [pk for group in groups for pk in sorted(group) if pk in by_key]
    return {"keys": keys, "leads": leads, "invitations": names}


def is_about(message: dict, request: dict, known: dict) -> bool:
    """Whether a dead letter is a person's."""
    try:
        body = json.loads(message["Body"])
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    return (
        message["Attributes"].get("MessageGroupId") == request["person"]
        or str(body.get("email", "")).strip().lower() == request["email"]
        or str(body.get("lead", "")).lower() in known["leads"]
        or body.get("id") in known["invitations"]
    )


def plain(item: dict) -> dict:
    """A DynamoDB item as JSON can say it."""
    from boto3.dynamodb.types import TypeDeserializer

    read = TypeDeserializer().deserialize
    return {name: number(read(value)) for name, value in item.items()}


def number(value):
    return int(value) if isinstance(value, decimal.Decimal) else value


def log_of(stack: Stack, receipt: str, ledger) -> list:
    """What the functions logged with that receipt, oldest first."""
    now = datetime.datetime.now(datetime.timezone.utc).timestamp()
    since = ledger["received_at"] - 3600 if ledger else now - KEPT_DAYS * 86400
    logs, lines = stack.client("logs"), []
    for function, group in stack.logs.items():
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, filterPattern=f'"{receipt}"', startTime=int(since * 1000)
        )
        try:
            for event in (event for page in pages for event in page["events"]):
                lines.append({"at": event["timestamp"], "function": function, "line": event["message"]})
        except logs.exceptions.ResourceNotFoundException:
            pass  # a function that never ran has no log
    return sorted(lines, key=lambda line: line["at"])


ASKS = {"dead-letters": list_dead_letters, "put-back": put_back, "explain": explain, "forget": forget}


def main() -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    request = json.load(sys.stdin)
    endpoint = request["endpoint"]

    def client(service):
        if endpoint is None:
            # The AWS CLI and Lambda know the first name of it, boto3 only AWS_DEFAULT_REGION.
            return boto3.client(service, region_name=os.environ.get("AWS_REGION"))
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    try:
        stack = Stack.named(client, request["stack"])
        json.dump(ASKS[request["ask"]](stack, request), sys.stdout)
    except (BotoCoreError, ClientError) as error:
        where = endpoint or "AWS"
        hint = "is `cargo run` running?" if endpoint else "check the stack's name, the region and the credentials"
        raise Refused(f"{where} did not do what was asked ({error}); {hint}") from error


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(str(error))
