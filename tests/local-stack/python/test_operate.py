"""The parts of the operator's questions that need no stack. Run by the crate's tests."""

import io
import json
import unittest

import operate


def message(name, body="{}", **attributes):
    return {
        "MessageId": name,
        "Queue": operate.DEAD_LETTERS,
        "ReceiptHandle": f"handle of {name}",
        "Body": body,
        "Attributes": {"SentTimestamp": "1767322800000", "MessageGroupId": "person"},
        "MessageAttributes": {key: {"DataType": "String", "StringValue": value} for key, value in attributes.items()},
    }


class Aws:
    """A queue of dead letters that hands out these batches, one of events, and bus-event; notes what they are told."""

    def __init__(self, *batches, events=(), answers=(), waiting=0, held=0):
        self.batches, self.told = {"dead": list(batches), "events": [list(events)]}, []
        self.answers = list(answers)
        self.counts = {"ApproximateNumberOfMessages": waiting, "ApproximateNumberOfMessagesNotVisible": held}

    def __call__(self, _):
        return self

    def receive_message(self, QueueUrl, **_):
        batches = self.batches[QueueUrl]
        return {"Messages": batches.pop(0)} if batches else {}

    def change_message_visibility_batch(self, QueueUrl, Entries):
        self.told.append((f"back to {QueueUrl}", [entry["ReceiptHandle"] for entry in Entries]))

    def send_message(self, **sent):
        self.told.append(("sent", sent["MessageBody"], sent["MessageGroupId"], sent["MessageDeduplicationId"]))

    def delete_message(self, QueueUrl, ReceiptHandle):
        self.told.append((f"deleted from {QueueUrl}", ReceiptHandle))

    def get_queue_attributes(self, QueueUrl, **_):
        counts = self.counts if QueueUrl == "dead" else {}
        return {"Attributes": {name: str(count) for name, count in counts.items()}}

    def invoke(self, FunctionName, Payload):
        self.told.append((f"invoked {FunctionName}", json.loads(Payload)))
        answer = self.answers.pop(0)
        failed = {"FunctionError": "Unhandled"} if "errorType" in answer else {}
        return failed | {"Payload": io.StringIO(json.dumps(answer))}


def stack(aws):
    outputs = {"DeadLettersQueueUrl": "dead", "UndeliveredEventsQueueUrl": "events", "InvitationsQueueUrl": "alive"}
    outputs |= {"LedgerTable": "ledger"}
    return operate.Stack(aws, "s", outputs, {"BusEventFunction": "bus"}, {})


EVENT = {"id": "e", "detail-type": "ApplicationSubmitted", "source": "shop", "account": "1", "detail": {"email": "asha@example.test"}}
NOTIFICATION = {"Type": "Notification", "MessageId": "n", "TopicArn": "t", "Message": json.dumps(EVENT)}
EVENTS = [
    (
        {
            "requestContext": {"requestId": "r", "condition": "RetriesExhausted"},
            "requestPayload": EVENT,
            "responsePayload": {"errorType": "EventNotStored", "errorMessage": "asha@example.test"},
        },
        {},
        "event not handed over by Lambda: EventNotStored",
    ),
    (
        {"requestContext": {"condition": "EventAgeExceeded"}, "requestPayload": {"Records": []}},
        {},
        "event not handed over by Lambda: EventAgeExceeded",
    ),
    (EVENT, {"RULE_ARN": "a", "ERROR_CODE": "NO_PERMISSIONS"}, "event not handed over by EventBridge: NO_PERMISSIONS"),
    (NOTIFICATION, {}, "event not handed over by SNS: it does not say why"),
    ("of asha", {}, "event not handed over by AWS: it does not say why"),
]


class Envelope(unittest.TestCase):
    def test_what_the_worker_wrote_is_read(self):
        letter = operate.envelope(message("1", **{"class": "rejected", "cause": "id-reused", "receipt": "r"}))
        expected = {"id": "1", "class": "rejected", "cause": "id-reused", "receipt": "r", "laid_aside": 1767322800000}
        self.assertEqual(letter, expected)

    def test_a_message_that_the_queue_laid_aside_has_its_receipt_in_its_body(self):
        letter = operate.envelope(message("1", json.dumps({"id": "r", "email": "asha@example.test"})))
        self.assertEqual((letter["class"], letter["receipt"]), ("undelivered", "r"))
        self.assertNotIn("asha", json.dumps(letter))

    def test_no_body_is_too_odd(self):
        for body in ["", "[]", '{"id": 7}', "null", '"id"', "{", "[" * 100_000, '{"requestPayload": 1, "responsePayload": []}']:
            self.assertIsNone(operate.envelope(message("1", body))["receipt"], body[:100])

    def test_an_event_says_who_could_not_hand_it_over_and_nothing_of_its_person(self):
        for body, written, cause in EVENTS:
            letter = operate.envelope(message("1", json.dumps(body), **written) | {"Queue": operate.UNDELIVERED_EVENTS})
            self.assertEqual((letter["class"], letter["receipt"], letter["cause"]), ("undelivered", None, cause))
            self.assertNotIn("asha", json.dumps(letter))


class Looking(unittest.TestCase):
    def test_all_are_given_back_even_where_one_comes_twice_and_what_was_not_seen_is_counted(self):
        first = [message(str(number)) for number in range(10)]
        aws = Aws(first, [message("10")], [message("3")], [message("never reached")], waiting=2, held=12)
        answer = operate.list_dead_letters(stack(aws), {})
        self.assertEqual([letter["id"] for letter in answer["letters"]], [str(number) for number in range(11)])
        self.assertEqual(answer["out_of_sight"], 3)
        self.assertEqual([(what, len(handles)) for what, handles in aws.told], [("back to dead", 10), ("back to dead", 1)])

    def test_events_that_were_not_handed_over_are_among_them(self):
        aws = Aws([message("1")], events=[message("2", json.dumps(EVENT), RULE_ARN="a")])
        letters = operate.list_dead_letters(stack(aws), {})["letters"]
        self.assertEqual([letter["id"] for letter in letters], ["1", "2"])
        self.assertEqual(aws.told, [("back to dead", ["handle of 1"]), ("back to events", ["handle of 2"])])

    def test_what_was_received_is_given_back_when_something_goes_wrong(self):
        class Broken(Aws):
            def receive_message(self, QueueUrl, **rest):
                if QueueUrl == "events":
                    raise RuntimeError("no permission")
                return super().receive_message(QueueUrl, **rest)

        aws = Broken([message("1")])
        with self.assertRaisesRegex(RuntimeError, "no permission"):
            operate.list_dead_letters(stack(aws), {})
        self.assertEqual(aws.told, [("back to dead", ["handle of 1"])])


class PuttingBack(unittest.TestCase):
    def test_a_chosen_letter_is_sent_before_it_is_deleted_and_the_others_are_given_back(self):
        chosen = message("1", "body", **{"class": "rejected", "cause": "refused: MXDuplicate", "receipt": "r"})
        aws = Aws([chosen, message("2")])
        answer = operate.put_back(stack(aws), {"class": "rejected", "cause": "mxdup", "receipt": None})
        self.assertEqual(
            aws.told,
            [
                ("sent", "body", "person", "put-back-1"),
                ("deleted from dead", "handle of 1"),
                ("back to dead", ["handle of 2"]),
            ],
        )
        self.assertEqual((len(answer["letters"]), answer["kept"], answer["out_of_sight"]), (1, 1, 0))

    def test_a_letter_that_is_laid_aside_again_at_once_is_not_put_back_again(self):
        class Returning(Aws):
            def send_message(self, **sent):
                super().send_message(**sent)
                self.batches["dead"].append([message("laid aside again")])

        aws = Returning([message("1")])
        answer = operate.put_back(stack(aws), {})
        self.assertEqual([letter["id"] for letter in answer["letters"]], ["1"])

    def test_events_go_to_bus_event_in_the_shape_it_takes(self):
        asked = {"detail-type": "LoginLinkRequested", "detail": {}}
        shapes = [
            ({"requestContext": {"requestId": "r"}, "requestPayload": EVENT}, EVENT),
            # Known by the first request's id, it is the same invitation whoever brings it.
            ({"requestContext": {"requestId": "r"}, "requestPayload": asked}, asked | {"id": "r"}),
            (EVENT, EVENT),
            (NOTIFICATION, {"Records": [{"EventSource": "aws:sns", "Sns": NOTIFICATION}]}),
            ({"Records": [{"Sns": NOTIFICATION}]}, {"Records": [{"Sns": NOTIFICATION}]}),
            ({"what": "is this"}, None),
        ]
        events = [message(str(number), json.dumps(body)) for number, (body, _) in enumerate(shapes)]
        aws = Aws(events=events, answers=[[{"status": "accepted"}]] * 5 + [{"errorType": "EventRefused"}])
        answer = operate.put_back(stack(aws), {})
        self.assertEqual([told for what, told in aws.told if what == "invoked bus"], [event for _, event in shapes])
        self.assertEqual((len(answer["letters"]), answer["kept"], answer["refused"]), (5, 1, {"EventRefused": 1}))
        self.assertEqual(aws.told[-1], ("back to events", ["handle of 5"]))

    def test_what_bus_event_laid_aside_goes_back_to_it_and_is_not_lost_when_it_lays_it_aside_again(self):
        new, old = message("new", json.dumps({"Sns": NOTIFICATION})), message("old", json.dumps(EVENT))
        new["Attributes"]["SentTimestamp"] = str(int(operate.now() * 1000))
        undelivered = message("undelivered", json.dumps(EVENT))
        undelivered["Attributes"] = new["Attributes"]
        aws = Aws([new, old], events=[undelivered], answers=[[{"status": "laid-aside"}]] * 3)
        answer = operate.put_back(stack(aws), {})
        # Of the others there is a new dead letter; a second one of the new one within minutes would be swallowed.
        deleted = [told for told in aws.told if told[0].startswith("deleted")]
        self.assertEqual(deleted, [("deleted from dead", "handle of old"), ("deleted from events", "handle of undelivered")])
        self.assertEqual(aws.told[-1], ("back to dead", ["handle of new"]))
        self.assertEqual((answer["letters"], answer["kept"], answer["refused"]), ([], 3, {"laid-aside": 3}))

    def test_what_is_asked_for_must_all_fit(self):
        letter = {"class": "rejected", "cause": "id-reused", "receipt": "r"}
        for fits in [{}, {"class": "rejected"}, {"cause": "ID"}, {"receipt": "r", "cause": "reused", "class": None}]:
            self.assertTrue(operate.is_chosen(letter, fits), fits)
        for other in [{"class": "reject"}, {"cause": "mail"}, {"receipt": "s"}, {"class": "rejected", "receipt": "s"}]:
            self.assertFalse(operate.is_chosen(letter, other), other)


class Discarding(unittest.TestCase):
    def test_only_what_is_chosen_and_confirmed_is_deleted(self):
        for confirmed, deleted in [(False, []), (True, [("deleted from dead", "handle of 1")])]:
            chosen = message("1", **{"class": "malformed", "cause": "not an invitation"})
            aws = Aws([chosen, message("2")], events=[message("3")])
            answer = operate.discard(stack(aws), {"class": "malformed", "confirmed": confirmed})
            self.assertEqual([told for told in aws.told if told[0].startswith("deleted")], deleted)
            self.assertEqual([letter["id"] for letter in answer["letters"]], ["1"])
            self.assertEqual(answer["kept"], 2 if confirmed else 3)


ASHA, HER_LEAD = "a" * 64, "11111111-1111-4111-8111-111111111111"
HER_OTHER_LEAD = "33333333-3333-4333-8333-333333333333"

ITEMS = [
    {"pk": f"person#{ASHA}", "begun": [{"at": 1, "invitation": "first"}]},
    # Of the first version: it names nobody.
    {"pk": "invitation#first", "lead_id": HER_LEAD, "outcome": "invited"},
    # By her lead alone, as from the CRM.
    {"pk": "invitation#second", "lead_id": HER_LEAD, "person": "c" * 64},
    {"pk": "invitation#third", "person": ASHA, "outcome": "rejected"},
    {"pk": f"lead#{HER_LEAD}", "registered_at": 1},
    {"pk": "link#1", "lead_id": HER_LEAD, "person": "c" * 64, "invitation": "second"},
    {"pk": "session#1", "lead_id": HER_LEAD},
    {"pk": "network#1", "lead_id": HER_LEAD},
    # Its invitation is gone, and by it another lead is hers.
    {"pk": "link#3", "lead_id": HER_OTHER_LEAD, "person": ASHA, "invitation": "gone"},
    {"pk": "session#3", "lead_id": HER_OTHER_LEAD},
    {"pk": "link#2", "lead_id": "22222222-2222-4222-8222-222222222222", "person": "b" * 64, "invitation": "ravi"},
    {"pk": "session#2", "lead_id": "22222222-2222-4222-8222-222222222222"},
    {"pk": "invitation#ravi", "person": "b" * 64, "lead_id": "22222222-2222-4222-8222-222222222222"},
    {"pk": "person#" + "b" * 64},
    {"pk": "count#2026-11-22#invited", "count": 2},
    {"pk": "allowance"},
]


class Forgetting(unittest.TestCase):
    def test_all_about_a_person_is_found_and_nothing_about_others(self):
        self.assertEqual(
            operate.items_of(ITEMS, ASHA)["keys"],
            ["invitation#second", "link#1", "network#1", "session#1", "session#3", f"lead#{HER_LEAD}"]
            + ["invitation#first", "invitation#third", "link#3", f"person#{ASHA}"],
        )
        self.assertEqual(operate.items_of(ITEMS, "d" * 64)["keys"], [])

    def test_wherever_it_was_cut_short_the_next_time_finds_the_rest(self):
        order = operate.items_of(ITEMS, ASHA)["keys"]
        for done in range(len(order)):
            left = [item for item in ITEMS if item["pk"] not in order[:done]]
            self.assertEqual(operate.items_of(left, ASHA)["keys"], order[done:], done)

    def test_her_dead_letters_are_known_by_whatever_they_hold(self):
        detail = {"version": "1", "email": "ASHA@example.test"}
        hers = [
            {"email": " Asha@Example.test"},
            {"lead": HER_LEAD.upper()},
            {"id": "third"},
            {"detail-type": "ApplicationSubmitted", "detail": detail},
            {"detail-type": "InvitationRequested", "detail": {"leadId": HER_LEAD}},
            {"detail-type": "ApplicationSubmitted", "detail": {"emal": "Asha <asha@example.test>", "email": "none"}},
            {"Sns": {"Message": json.dumps({"detail": json.dumps(detail)}).replace("@", "\\u0040")}},
            {"requestPayload": {"detail": {"email": ["asha@example.test"]}}},
        ]
        for body in map(json.dumps, hers):
            self.assertTrue(self.is_hers(message("1", body)), body)
        self.assertTrue(self.is_hers(message("1", "no JSON, from asha@example.test.")))
        self.assertTrue(self.is_hers(message("1", "{}", receipt="third")))
        grouped = message("1", "no JSON")
        grouped["Attributes"]["MessageGroupId"] = ASHA
        self.assertTrue(self.is_hers(grouped))

    def test_the_dead_letters_of_others_are_not_hers(self):
        others = [
            '{"email": null, "lead": 7, "id": "ravi"}',
            '{"email": "ravi@example.test", "attributes": [{"name": "mx_Mother", "value": "asha@example.test"}]}',
            '{"detail": {"email": "natasha@example.test"}}',
            "to asha@example.test.in, x+asha@example.test and asha@example.testing",
        ]
        for body in ["", "[]", "{}", *others]:
            self.assertFalse(self.is_hers(message("1", body)), body)

    def is_hers(self, letter):
        request = {"email": "asha@example.test", "person": ASHA}
        return operate.is_about(letter, request, operate.items_of(ITEMS, ASHA))

    def test_what_needs_a_right_is_asked_before_anything_is_deleted(self):
        class NoRight(Aws):
            def get_queue_attributes(self, QueueUrl, **rest):
                if QueueUrl == "alive":
                    raise RuntimeError("no permission")
                return super().get_queue_attributes(QueueUrl, **rest)

        aws = NoRight([message("1", '{"email": "asha@example.test"}')])
        with self.assertRaisesRegex(RuntimeError, "no permission"):
            operate.forget(stack(aws), {"email": "asha@example.test", "person": ASHA})
        self.assertEqual(aws.told, [])


if __name__ == "__main__":
    unittest.main()
