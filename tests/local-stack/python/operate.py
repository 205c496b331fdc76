"""What an operator asks of a deployed stack: its dead letters, putting them back or deleting them, the course of one
invitation, to forget a person, and to fill the ledger from a restored table.

Reads a request from standard input and writes the answer to standard output, both JSON:

    {"endpoint": "http://127.0.0.1:4303", "stack": "applicant-onboarding", "ask": "dead-letters"}
    {"endpoint": null, "stack": "applicants", "ask": "put-back", "class": "rejected", "cause": null, "receipt": null}
    {"endpoint": null, "stack": "applicants", "ask": "discard", "class": "malformed", ..., "confirmed": true}
    {"endpoint": null, "stack": "applicants", "ask": "explain", "receipt": "..."}
    {"endpoint": null, "stack": "applicants", "ask": "forget", "email": "...", "person": "the ledger's key of them"}
    {"endpoint": null, "stack": "applicants", "ask": "restore", "table": "applicants-Ledger-restored"}

Without an endpoint it is AWS, with the account and the region that the AWS CLI would use. No answer holds anything of a
person: of a message only what the functions wrote on its envelope, and its receipt.
"""

import collections
import contextlib
import datetime
import decimal
import json
import os
import re
import sys

# The function that takes other systems' events, and the queues where dead letters lie.
BUS_EVENT = "BusEventFunction"
DEAD_LETTERS, UNDELIVERED_EVENTS = "DeadLettersQueueUrl", "UndeliveredEventsQueueUrl"
# How long a message that is looked at stays out of sight of others, unless it is given back earlier: time enough to put
# some ten thousand back.
HOLD_SECONDS = 900
KEPT_DAYS = 30
# What bus-event answers for an event that is no good: it is among the dead letters again.
LAID_ASIDE = "laid-aside"
# SQS takes a second message of the same name within five minutes for the first; what is close to that counts as within.
SWALLOWED_SECONDS = 360


class Refused(Exception):
    """A reason to stop that says what to do about it."""


class Stack:
    """A deployed stack: its outputs, its functions' names and where they log."""

    def __init__(self, client, name: str, outputs: dict, functions: dict, logs: dict):
        self.client, self.name, self.outputs, self.functions, self.logs = client, name, outputs, functions, logs

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
        return cls(client, name, outputs, functions, logs)

    def output(self, name: str) -> str:
        if name not in self.outputs:
            raise Refused(f"the stack {self.name} has no output {name}: it is another stack, or of an older template")
        return self.outputs[name]


class DeadLetters:
    """What was laid aside: by the functions and by the queue of invitations, and the events that could not be handed over."""

    def __init__(self, stack: Stack):
        self.sqs = stack.client("sqs")
        self.urls = {queue: stack.output(queue) for queue in [DEAD_LETTERS, UNDELIVERED_EVENTS]}
        self.held = []

    @classmethod
    @contextlib.contextmanager
    def of(cls, stack: Stack):
        """All of them, received to be seen, and given back at the end of the `with` block."""
        letters = cls(stack)
        try:
            for queue in letters.urls:
                letters.receive(queue)
            yield letters
        finally:
            letters.give_back()

    def receive(self, queue: str) -> None:
        """Every message that can be received now. One that is laid aside meanwhile may come too, but none comes for ever."""
        seen = set()
        while True:
            messages = self.sqs.receive_message(
                QueueUrl=self.urls[queue],
                MaxNumberOfMessages=10,
                VisibilityTimeout=HOLD_SECONDS,
                WaitTimeSeconds=1,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            ).get("Messages", [])
            new = [message | {"Queue": queue} for message in messages if message["MessageId"] not in seen]
            if not new:
                return
            seen.update(message["MessageId"] for message in new)
            self.held += new

    def give_back(self) -> None:
        # What is not given back comes back by itself when its time is over.
        for queue, url in self.urls.items():
            handles = [message["ReceiptHandle"] for message in self.held if message["Queue"] == queue]
            for start in range(0, len(handles), 10):
                entries = [
                    {"Id": str(place), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                    for place, handle in enumerate(handles[start : start + 10])
                ]
                self.sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)

    def delete(self, message: dict) -> None:
        self.sqs.delete_message(QueueUrl=self.urls[message["Queue"]], ReceiptHandle=message["ReceiptHandle"])
        self.held.remove(message)

    def out_of_sight(self) -> int:
        """How many more there are: those that wait behind another one of the same person, and those somebody else holds."""
        return max(sum(messages_on(self.sqs, url) for url in self.urls.values()) - len(self.held), 0)


def messages_on(sqs, url: str) -> int:
    """How many messages a queue has, about, those in somebody's hands included."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return sum(map(int, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()))


def envelope(message: dict) -> dict:
    """What is written on a dead letter. AWS's own services write their own things, and a queue nothing."""
    written = {name: value.get("StringValue") for name, value in message.get("MessageAttributes", {}).items()}
    body = parsed(message["Body"])
    return {
        "id": message["MessageId"],
        "class": written.get("class", "undelivered"),
        "cause": written.get("cause") or not_handed_over(message["Queue"], body, written),
        "receipt": written.get("receipt") or receipt_in(body),
        "laid_aside": int(message["Attributes"]["SentTimestamp"]),
    }


def not_handed_over(queue: str, body, written: dict) -> str:
    """What kept a message from being handed over, in the words of the service that should have done it."""
    if at(body, "requestPayload") is not None:
        by, why = "Lambda", at(body, "responsePayload", "errorType") or at(body, "requestContext", "condition")
    elif "RULE_ARN" in written:
        by, why = "EventBridge", written.get("ERROR_CODE")
    elif at(body, "Type") == "Notification" or "ErrorCode" in written:
        by, why = "SNS", written.get("ErrorCode")
    elif queue == UNDELIVERED_EVENTS:
        by, why = "AWS", None
    else:
        return "received too often: no worker lived to judge it"
    return f"event not handed over by {by}: {why or 'it does not say why'}"


def event_in(body):
    """What bus-event is invoked with for a dead letter that is an event; nothing for one that is none.

    Lambda wraps an event into a record of the failed invocation, EventBridge leaves it as it is, SNS has a form of its own:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
    """
    payload = at(body, "requestPayload")
    if isinstance(payload, dict) and payload.get("id") is None:
        # By this bus-event knew it, and knows it again.
        return payload | {"id": at(body, "requestContext", "requestId")}
    if payload is not None:
        return payload
    if at(body, "Type") == "Notification":
        return {"Records": [{"EventSource": "aws:sns", "Sns": body}]}
    if at(body, "Sns") is not None:
        return {"Records": [body]}
    is_event = at(body, "detail-type") is not None or at(body, "Records") is not None
    return body if is_event else None


def receipt_in(body):
    """The receipt of an invitation, if the message is one."""
    receipt = None if at(body, "detail-type") else at(body, "id")
    return receipt if isinstance(receipt, str) else None


def parsed(text: str):
    """What stands there in JSON; nothing, if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def at(value, *names):
    """What is found in an object under these names, each inside the one before; nothing, if there is no such thing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def is_chosen(letter: dict, request: dict) -> bool:
    """Whether a dead letter is as the request wants it; what the request leaves open fits every one."""
    wanted_class, wanted_cause, wanted_receipt = request.get("class"), request.get("cause"), request.get("receipt")
    return (
        (wanted_class is None or letter["class"] == wanted_class)
        and (wanted_cause is None or wanted_cause.lower() in letter["cause"].lower())
        and (wanted_receipt is None or letter["receipt"] == wanted_receipt)
    )


def list_dead_letters(stack: Stack, _: dict) -> dict:
    with DeadLetters.of(stack) as letters:
        return {"letters": [envelope(message) for message in letters.held], "out_of_sight": letters.out_of_sight()}


def put_back(stack: Stack, request: dict) -> dict:
    """Hands the chosen messages over again and then deletes the dead letters. What is not taken stays."""
    done, refused = [], collections.Counter()
    with DeadLetters.of(stack) as letters:
        # All were received before the first goes back: what is refused again must not be met again in the same run.
        received = list(letters.held)
        for message in received:
            letter = envelope(message)
            if not is_chosen(letter, request):
                continue
            refusal = hand_over(stack, message)
            if refusal is None:
                done.append(letter)
            else:
                refused[refusal] += 1
            # An event that is laid aside is a new dead letter, unless SQS took that for a copy of this one.
            is_copy = message["Queue"] == DEAD_LETTERS and now() - letter["laid_aside"] / 1000 < SWALLOWED_SECONDS
            if refusal is None or (refusal == LAID_ASIDE and not is_copy):
                letters.delete(message)
        kept = len(received) - len(done)
        return {"letters": done, "out_of_sight": letters.out_of_sight(), "kept": kept, "refused": refused}


def discard(stack: Stack, request: dict) -> dict:
    """Deletes the chosen messages for good; without a confirmation only says which those are."""
    with DeadLetters.of(stack) as letters:
        chosen = [message for message in letters.held if is_chosen(envelope(message), request)]
        for message in chosen if request["confirmed"] else []:
            letters.delete(message)
        out_of_sight, kept = letters.out_of_sight(), len(letters.held)
        return {"letters": [envelope(message) for message in chosen], "out_of_sight": out_of_sight, "kept": kept}


def hand_over(stack: Stack, message: dict):
    """Sends an invitation to its queue again, and an event to bus-event; the reason if that does not take it.

    The name is the same for the same dead letter, as an event's id is: if it cannot be deleted, handing it over again has no
    second effect.
    """
    event = event_in(parsed(message["Body"]))
    if event is None and message["Queue"] == DEAD_LETTERS:
        stack.client("sqs").send_message(
            QueueUrl=stack.output("InvitationsQueueUrl"),
            MessageBody=message["Body"],
            MessageGroupId=message["Attributes"]["MessageGroupId"],
            MessageDeduplicationId=f"put-back-{message['MessageId']}",
        )
        return None
    answer = stack.client("lambda").invoke(FunctionName=stack.functions[BUS_EVENT], Payload=json.dumps(event))
    said = json.load(answer["Payload"])
    if "FunctionError" in answer:
        return at(said, "errorType") or answer["FunctionError"]
    statuses = [at(fate, "status") for fate in (said if isinstance(said, list) else [said])]
    return next((str(status) for status in statuses if status != "accepted"), None)


def explain(stack: Stack, request: dict) -> dict:
    receipt = request["receipt"]
    item = stack.client("dynamodb").get_item(
        TableName=stack.output("LedgerTable"), Key={"pk": {"S": f"invitation#{receipt}"}}, ConsistentRead=True
    ).get("Item")
    ledger = plain(item) if item else None
    with DeadLetters.of(stack) as letters:
        # The last one, where it was laid aside, put back and laid aside again.
        found = [letter for letter in map(envelope, letters.held) if letter["receipt"] == receipt]
    dead_letter = max(found, key=lambda letter: letter["laid_aside"], default=None)
    return {"ledger": ledger, "dead_letter": dead_letter, "log": log_of(stack, receipt, ledger)}


def forget(stack: Stack, request: dict) -> dict:
    """Deletes what the ledger has of a person, and their dead letters. Doing it again does what was not done yet."""
    dynamodb, table = stack.client("dynamodb"), stack.output("LedgerTable")
    # Before the ledger is read: what is done with meanwhile may have left something there.
    waiting = messages_on(stack.client("sqs"), stack.output("InvitationsQueueUrl"))
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    known = items_of([plain(item) for page in pages for item in page["Items"]], request["person"])
    with DeadLetters.of(stack) as letters:
        out_of_sight = letters.out_of_sight()
        theirs = [message for message in letters.held if is_about(message, request, known)]
        for message in theirs:
            letters.delete(message)
    for pk in known["keys"]:
        dynamodb.delete_item(TableName=table, Key={"pk": {"S": pk}})
    return {
        "erased": collections.Counter(pk.split("#")[0] for pk in known["keys"]),
        "dead_letters": len(theirs),
        "out_of_sight": out_of_sight,
        "waiting": waiting,
        "leads": sorted(known["leads"]),
    }


def items_of(items: list, person: str) -> dict:
    """The items about a person, and the leads and the invitations by which they were found.

    An item by which others are found comes after them, so that when erasing is cut short the next time finds the rest.
    """
    by_key = {item["pk"]: item for item in items}
    mails = by_key.get(f"person#{person}", {}).get("begun", [])
    # Invitations of the first version do not name the person; the mails begun to them and their lead do.
    named = {f"invitation#{mail['invitation']}" for mail in mails}
    # A link outlives its invitation by as long as it is valid.
    direct = {pk for pk, item in by_key.items() if item.get("person") == person or pk in named}
    leads = {by_key[pk]["lead_id"] for pk in direct if "lead_id" in by_key[pk]}
    # Theirs through their lead alone: sessions, networks, and invitations that the CRM asked for.
    by_lead = {pk for pk, item in by_key.items() if item.get("lead_id") in leads} - direct
    groups = [by_lead, {f"lead#{lead}" for lead in leads}, direct, {f"person#{person}"}]
    keys = [pk for group in groups for pk in sorted(group) if pk in by_key]
    invitations = {pk.removeprefix("invitation#") for pk in keys if pk.startswith("invitation#")}
    return {"keys": keys, "leads": leads, "invitations": invitations}


def is_about(message: dict, request: dict, known: dict) -> bool:
    """Whether a dead letter is a person's. Somebody else's that merely mentions them is not."""
    letter = envelope(message)
    if message["Attributes"].get("MessageGroupId") == request["person"] or letter["receipt"] in known["invitations"]:
        return True
    texts = list(texts_in(message["Body"]))
    # Whose it is, as far as it says so; where it does not, as one that is malformed may not, whomever it mentions.
    subjects = [text for name, text in texts if name.lower() in SUBJECTS and SAYS_WHOSE.search(text)]
    # Another address may end with this one, or begin with it.
    address = rf"(?<![\w.+-]){re.escape(request['email'])}(?![\w-]|\.\w)"
    theirs = re.compile("|".join([address, *known["leads"]]), re.IGNORECASE)
    return any(theirs.search(text) for text in subjects or [text for _, text in texts])


# The names under which invitations and events say whose they are, and what such a value has in it.
SUBJECTS = {"email", "emailaddress", "lead", "leadid"}
SAYS_WHOSE = re.compile(r"@|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def texts_in(body: str):
    """The texts in JSON, and in texts of it that are JSON themselves, each with its name; what is no JSON is one text."""
    left = [("", body)]
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            left += [(name, inner) for inner in value]
        elif isinstance(value, str):
            inner = parsed(value)
            if isinstance(inner, (dict, list, str)):
                left.append((name, inner))
            else:
                yield name, value


def restore(stack: Stack, request: dict) -> dict:
    """Copies the items of a table that the ledger does not have. Doing it again copies what was not copied yet."""
    dynamodb, ledger, counts = stack.client("dynamodb"), stack.output("LedgerTable"), collections.Counter(copied=0, there=0)
    for page in dynamodb.get_paginator("scan").paginate(TableName=request["table"], ConsistentRead=True):
        for item in page["Items"]:
            try:
                dynamodb.put_item(TableName=ledger, Item=item, ConditionExpression="attribute_not_exists(pk)")
                counts["copied"] += 1
            except dynamodb.exceptions.ConditionalCheckFailedException:
                counts["there"] += 1
    return counts


def plain(item: dict) -> dict:
    """A DynamoDB item as JSON can say it."""
    from boto3.dynamodb.types import TypeDeserializer

    read = TypeDeserializer().deserialize
    return {name: number(read(value)) for name, value in item.items()}


def number(value):
    return int(value) if isinstance(value, decimal.Decimal) else value


def log_of(stack: Stack, receipt: str, ledger) -> list:
    """What the functions logged with that receipt, oldest first."""
    since = ledger["received_at"] - 3600 if ledger else now() - KEPT_DAYS * 86400
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


def now() -> float:
    return datetime.datetime.now(datetime.timezone.utc).timestamp()


ASKS = {
    "dead-letters": list_dead_letters,
    "put-back": put_back,
    "discard": discard,
    "explain": explain,
    "forget": forget,
    "restore": restore,
}


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
