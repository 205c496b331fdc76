"""The parts of the operator's questions that need no stack. Run by the crate's tests."""

import json
import unittest

import operate


def message(name, body="{}", **attributes):
    return {
        "MessageId": name,
        "ReceiptHandle": f"handle of {name}",
        "Body": body,
        "Attributes": {"SentTimestamp": "1767322800000", "MessageGroupId": "person"},
        "MessageAttributes": {key: {"DataType": "String", "StringValue": value} for key, value in attributes.items()},
    }


class Queue:
    """An SQS queue that hands out these batches and notes what it is told."""

    def __init__(self, *batches, waiting=0, held=0):
        self.batches, self.told = list(batches), []
        self.counts = {"ApproximateNumberOfMessages": waiting, "ApproximateNumberOfMessagesNotVisible": held}

    def __call__(self, service):
        assert service == "sqs"
        return self

    def receive_message(self, **_):
        return {"Messages": self.batches.pop(0)} if self.batches else {}

    def change_message_visibility_batch(self, Entries, **_):
        self.told.append(("back", [entry["ReceiptHandle"] for entry in Entries]))

    def send_message(self, **sent):
        self.told.append(("sent", sent["MessageBody"], sent["MessageGroupId"], sent["MessageDeduplicationId"]))

    def delete_message(self, ReceiptHandle, **_):
        self.told.append(("deleted", ReceiptHandle))

    def get_queue_attributes(self, **_):
        return {"Attributes": {name: str(count) for name, count in self.counts.items()}}


def stack(queue):
    return operate.Stack(queue, "s", {"DeadLettersQueueUrl": "dead", "InvitationsQueueUrl": "alive"}, {})


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
        for body in ["", "[]", '{"id": 7}', "null", '"id"', "{"]:
            self.assertIsNone(operate.envelope(message("1", body))["receipt"], body)


class Looking(unittest.TestCase):
    def test_all_are_given_back_even_where_one_comes_twice_and_what_was_not_seen_is_counted(self):
        first = [message(str(number)) for number in range(10)]
        queue = Queue(first, [message("10")], [message("3")], [message("never reached")], waiting=2, held=12)
        answer = operate.list_dead_letters(stack(queue), {})
        self.assertEqual([letter["id"] for letter in answer["letters"]], [str(number) for number in range(11)])
        self.assertEqual(answer["out_of_sight"], 3)
        self.assertEqual([len(handles) for _, handles in queue.told], [10, 1])


class PuttingBack(unittest.TestCase):
    def test_a_chosen_letter_is_sent_before_it_is_deleted_and_the_others_are_given_back(self):
        chosen = message("1", "body", **{"class": "rejected", "cause": "refused: MXDuplicate", "receipt": "r"})
        queue = Queue([chosen, message("2")])
        answer = operate.put_back(stack(queue), {"class": "rejected", "cause": "mxdup", "receipt": None})
        self.assertEqual(
            queue.told,
            [("sent", "body", "person", "put-back-1"), ("deleted", "handle of 1"), ("back", ["handle of 2"])],
        )
        self.assertEqual((len(answer["letters"]), answer["kept"], answer["out_of_sight"]), (1, 1, 0))

    def test_a_letter_that_is_laid_aside_again_at_once_is_not_put_back_again(self):
        class Returning(Queue):
            def send_message(self, **sent):
                super().send_message(**sent)
                self.batches.append([message("laid aside again")])

        queue = Returning([message("1")])
        answer = operate.put_back(stack(queue), {})
        self.assertEqual([letter["id"] for letter in answer["letters"]], ["1"])

    def test_what_is_asked_for_must_all_fit(self):
        letter = {"class": "rejected", "cause": "id-reused", "receipt": "r"}
        for fits in [{}, {"class": "rejected"}, {"cause": "ID"}, {"receipt": "r", "cause": "reused", "class": None}]:
            self.assertTrue(operate.is_chosen(letter, fits), fits)
        for other in [{"class": "reject"}, {"cause": "mail"}, {"receipt": "s"}, {"class": "rejected", "receipt": "s"}]:
            self.assertFalse(operate.is_chosen(letter, other), other)


ASHA, HER_LEAD = "a" * 64, "11111111-1111-4111-8111-111111111111"

ITEMS = [
    {"pk": f"person#{ASHA}", "begun": [{"at": 1, "invitation": "first"}]},
    # Of the first version: it names nobody.
    {"pk": "invitation#first", "lead_id": HER_LEAD, "outcome": "invited"},
    # By her lead alone, as from the CRM.
    {"pk": "invitation#second", "lead_id": HER_LEAD, "person": "c" * 64},
    {"pk": "invitation#third", "person": ASHA, "outcome": "rejected"},
    {"pk": f"lead#{HER_LEAD}", "registered_at": 1},
    {"pk": "link#1", "lead_id": HER_LEAD, "invitation": "first"},
    {"pk": "link#2", "lead_id": "22222222-2222-4222-8222-222222222222", "invitation": "ravi"},
    {"pk": "invitation#ravi", "person": "b" * 64, "lead_id": "22222222-2222-4222-8222-222222222222"},
    {"pk": "person#" + "b" * 64},
    {"pk": "count#2026-11-22#invited", "count": 2},
    {"pk": "allowance"},
]


class Forgetting(unittest.TestCase):
    def test_all_about_a_person_is_found_and_nothing_about_others(self):
        self.assertEqual(
            operate.items_of(ITEMS, ASHA)["keys"],
            ["link#1", f"lead#{HER_LEAD}", "invitation#second", "invitation#first", "invitation#third", f"person#{ASHA}"],
        )
        self.assertEqual(operate.items_of(ITEMS, "d" * 64)["keys"], [])

    def test_wherever_it_was_cut_short_the_next_time_finds_the_rest(self):
        order = operate.items_of(ITEMS, ASHA)["keys"]
        for done in range(len(order)):
            left = [item for item in ITEMS if item["pk"] not in order[:done]]
            self.assertEqual(operate.items_of(left, ASHA)["keys"], order[done:], done)

    def test_her_dead_letters_are_known_by_whatever_they_hold(self):
        request = {"email": "asha@example.test", "person": ASHA}
        known = operate.items_of(ITEMS, ASHA)
        hers = [{"email": " Asha@Example.test"}, {"lead": HER_LEAD.upper()}, {"id": "third"}]
        for body in hers:
            self.assertTrue(operate.is_about(message("1", json.dumps(body)), request, known), body)
        grouped = message("1", "no JSON")
        grouped["Attributes"]["MessageGroupId"] = ASHA
        self.assertTrue(operate.is_about(grouped, request, known))
        for body in ["", "[]", "{}", '{"email": null, "lead": 7, "id": "ravi"}', '{"email": "ravi@example.test"}']:
            self.assertFalse(operate.is_about(message("1", body), request, known), body)


if __name__ == "__main__":
    unittest.main()
