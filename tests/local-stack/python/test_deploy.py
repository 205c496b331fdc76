"""Tests of the parts of the deployment that need no MiniStack. The crate's tests run them."""

import io
import json
import os
import pathlib
import tempfile
import unittest
import unittest.mock
import zipfile

import deploy

FUNCTION = {
    "Type": "AWS::Serverless::Function",
    "Metadata": {"BuildProperties": {"Binary": "form"}},
    "Properties": {"CodeUri": ".", "Timeout": 10, "Events": {}},
}


def template(*events, **more):
    function = {**FUNCTION, "Properties": {**FUNCTION["Properties"], "Events": dict(enumerate(events))}}
    return {"Resources": {"Form": function, "Queue": {"Type": "AWS::SQS::Queue"}}, **more}


def http_api(**properties):
    return {"Type": "HttpApi", "Properties": properties}


class Permissions(unittest.TestCase):
    def test_batch_calls_are_permitted_where_single_ones_are(self):
        statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "queue"}
        lists = {"Effect": "Allow", "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage"]}
        after = deploy.with_batch_actions({"Policies": [{"Statement": [statement, lists]}]})
        first, second = after["Policies"][0]["Statement"]
        self.assertEqual(first["Action"], ["sqs:SendMessage", "sqs:SendMessageBatch"])
        self.assertEqual(second["Action"], ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:DeleteMessageBatch"])


class Code(unittest.TestCase):
    def test_only_the_code_of_functions_is_replaced(self):
        before = template()
        after = deploy.with_code(before, {"form": "s3://b/k"})
        self.assertEqual(after["Resources"]["Form"]["Properties"], {"CodeUri": "s3://b/k", "Timeout": 10, "Events": {}})
        self.assertEqual(after["Resources"]["Queue"], before["Resources"]["Queue"])
        self.assertEqual(before["Resources"]["Form"]["Properties"]["CodeUri"], ".")

    def test_a_function_without_a_binary_is_named(self):
        with self.assertRaisesRegex(deploy.Refused, "Form: .*'form'.*invitation"):
            deploy.with_code(template(), {"invitation": "s3://b/k"})

    def test_properties_are_changed_one_by_one_and_only_of_resources_that_are_there(self):
        before = template()
        after = deploy.with_properties(before, {"Form": {"Timeout": 15}, "Queue": {"DelaySeconds": 1}})
        self.assertEqual(after["Resources"]["Form"]["Properties"], {"CodeUri": ".", "Timeout": 15, "Events": {}})
        self.assertEqual(after["Resources"]["Queue"], {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 1}})
        self.assertEqual(before["Resources"]["Form"]["Properties"]["Timeout"], 10)
        with self.assertRaisesRegex(deploy.Refused, "no resource Forn"):
            deploy.with_properties(before, {"Forn": {}})

    def test_a_package_holds_an_executable_bootstrap_and_is_the_same_every_time(self):
        with tempfile.TemporaryDirectory() as folder:
            binary = pathlib.Path(folder, "form")
            binary.write_bytes(b"#!/bin/sh\n")
            package = deploy.zipped(binary)
            self.assertEqual(package, deploy.zipped(binary))
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            entry = archive.getinfo("bootstrap")
            self.assertEqual(entry.external_attr >> 16, 0o755)
            self.assertEqual(archive.read(entry), b"#!/bin/sh\n")


class Secrets(unittest.TestCase):
    def test_excluded_punctuation_is_excluded_by_its_characters(self):
        secret = {"Type": "AWS::SecretsManager::Secret", "Properties": {"GenerateSecretString": {"ExcludePunctuation": True}}}
        before = {"Resources": {"Key": secret, "Queue": {"Type": "AWS::SQS::Queue"}}}
        after = deploy.with_characters_excluded(before)
        excluded = after["Resources"]["Key"]["Properties"]["GenerateSecretString"]["ExcludeCharacters"]
        self.assertTrue(set("!/+_-~") <= set(excluded) and not set("aZ09") & set(excluded))
        self.assertEqual(after["Resources"]["Queue"], before["Resources"]["Queue"])
        self.assertNotIn("ExcludeCharacters", secret["Properties"]["GenerateSecretString"])


class Sam(unittest.TestCase):
    """Tests with a `sam` that prints the template, the parameters and the environment that it gets."""

    PROGRAM = '''#!/bin/sh
cat template.yaml parameters.yaml
echo "$AWS_ENDPOINT_URL $AWS_PROFILE"
exit {code}
'''

    def deployed(self, code):
        with tempfile.TemporaryDirectory() as folder:
            sam = pathlib.Path(folder, "sam")
            sam.write_text(self.PROGRAM.format(code=code), encoding="utf-8")
            sam.chmod(0o755)
            path = f"{folder}{os.pathsep}{os.environ['PATH']}"
            with unittest.mock.patch.dict(os.environ, {"PATH": path, "AWS_PROFILE": "mine"}):
                deploy.sam_deploy({"Resources": {}}, {"Organisation": "Northfield \"College\""}, "http://127.0.0.1:1")

    def test_what_it_says_is_the_reason_and_nothing_of_this_machines_settings_is_in_there(self):
        self.deployed(0)
        given = json.dumps({"Resources": {}}) + json.dumps({"Organisation": "Northfield \"College\""})
        with self.assertRaises(deploy.Refused) as refused:
            self.deployed(1)
        self.assertEqual(str(refused.exception), f"`sam deploy` says:\n{given}http://127.0.0.1:1")

    def test_it_has_to_be_there(self):
        with unittest.mock.patch.dict(os.environ, {"PATH": ""}):
            with self.assertRaisesRegex(deploy.Refused, "pip install aws-sam-cli"):
                deploy.sam_deploy({}, {}, "http://127.0.0.1:1")

    def test_the_code_is_where_it_was_built(self):
        made = template()
        made["Resources"]["Form"]["Properties"]["CodeUri"] = "Form"
        self.assertEqual(deploy.built(made, pathlib.Path("/built")), {"form": "/built/Form"})


class Routes(unittest.TestCase):
    def test_every_http_api_event_is_a_route(self):
        events = [
            http_api(ApiId={"Ref": "Api"}, Method="POST", Path="/applications"),
            http_api(ApiId={"Ref": "Api"}, Method="any", Path="/links/{token}"),
            http_api(Path="/all"),
            http_api(),
            {"Type": "SQS", "Properties": {}},
        ]
        self.assertEqual(
            deploy.routes(template(*events)),
            [
                ("Api", "POST /applications", "Form"),
                ("Api", "ANY /links/{token}", "Form"),
                ("ServerlessHttpApi", "ANY /all", "Form"),
                ("ServerlessHttpApi", "$default", "Form"),
            ],
        )

    def test_an_api_of_another_stack_is_refused(self):
        with self.assertRaisesRegex(deploy.Refused, "Form.0"):
            deploy.routes(template(http_api(ApiId={"Fn::ImportValue": "x"}, Path="/")))


    def test_a_function_is_told_of_once_with_all_its_routes(self):
        form = template(http_api(Method="GET", Path="/a"), http_api(Method="POST", Path="/a"))
        configuration = {"Environment": {"Variables": {"TABLE": "ledger-1"}}, "Timeout": 9, "FunctionArn": "arn"}
        self.assertEqual(
            deploy.http_functions(form, {"form": "/t/form"}, {"Form": configuration}),
            [{"binary": "/t/form", "routes": ["GET /a", "POST /a"], "settings": {"TABLE": "ledger-1"}, "timeout_seconds": 9}],
        )


class Cors(unittest.TestCase):
    PARAMETERS = {"Origins": {"Type": "CommaDelimitedList", "Default": "*"}, "Age": {"Type": "String", "Default": "600"}}

    def configured(self, cors, parameters=None, **more):
        properties = {} if cors is None else {"CorsConfiguration": cors}
        api = {"Type": "AWS::Serverless::HttpApi", "Properties": properties}
        whole = {"Resources": {"Api": api}, "Parameters": self.PARAMETERS, **more}
        return deploy.cors_configurations(whole, parameters or {})

    def test_references_become_what_was_given_or_the_default(self):
        cors = {"AllowOrigins": {"Ref": "Origins"}, "AllowMethods": ["POST"]}
        self.assertEqual(self.configured(cors), {"Api": {"AllowOrigins": ["*"], "AllowMethods": ["POST"]}})
        given = {"Origins": "https://a.example, https://b.example"}
        self.assertEqual(self.configured(cors, given)["Api"]["AllowOrigins"], ["https://a.example", "https://b.example"])

    def test_the_short_form_and_the_global_one_count(self):
        self.assertEqual(self.configured(True), {"Api": {"AllowOrigins": ["*"]}})
        self.assertEqual(self.configured(None, Globals={"HttpApi": {"CorsConfiguration": True}}), {"Api": {"AllowOrigins": ["*"]}})
        self.assertEqual(self.configured(None), {})

    def test_what_cannot_be_resolved_is_refused(self):
        for cors in ({"AllowOrigins": [{"Ref": "Queue"}]}, {"AllowOrigins": {"Fn::Split": [",", "a"]}}):
            with self.assertRaises(deploy.Refused):
                self.configured(cors)


if __name__ == "__main__":
    unittest.main()
