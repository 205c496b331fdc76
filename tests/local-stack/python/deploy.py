"""Deploys the SAM template to MiniStack as it would be deployed to AWS.

Reads a request from standard input and writes the result to standard output, both as JSON:

    {"endpoint": "http://127.0.0.1:4303", "template": "template.yaml",
     "binaries": {"application-form": "target/debug/application-form"},
     "parameters": {"PortalId": "..."}, "secrets": {"KeysSecretArn": "..."},
     "properties": {"InvitationFunction": {"Timeout": 15}}}

    {"outputs": {"KeysSecretArn": "..."}, "functions": {"InvitationFunction": "..."},
     "logs": {"InvitationFunction": "/aws/lambda/..."}, "api": "...",
     "http": [{"binary": "target/debug/application-form", "routes": ["POST /applications"],
               "settings": {"LEDGER_TABLE": "..."}, "timeout_seconds": 10}]}

`secrets` has the value for each secret, by the output of the template that names the secret. `properties` replaces
properties of the template's resources. If `binaries` is null, `sam build` made the template and put the binaries into
folders beside it, and `sam deploy` deploys it.

MiniStack 1.5.33 leaves two parts of a template out. They are created here afterwards with API Gateway calls: the
routes, which SAM describes in an OpenAPI body, and the CORS configuration.
"""

import hashlib
import io
import json
import os
import pathlib
import shutil
import string
import subprocess
import sys
import tempfile
import time
import zipfile

REGION = "us-east-1"
BUCKET = "local-stack"
STACK = "applicant-onboarding"
DEPLOY_SECONDS = 60
SAM_SECONDS = 300
BATCHED = ("sqs:SendMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility")


class Refused(Exception):
    """A reason to stop. Its text says what to do about it."""


def binary_of(function: dict) -> str | None:
    """The name of the binary that a function runs."""
    return function.get("Metadata", {}).get("BuildProperties", {}).get("Binary")


def with_code(template: dict, locations: dict) -> dict:
    """The template with every function's CodeUri pointing at the binary that the function names."""
    resources = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            binary = binary_of(resource)
            if binary not in locations:
                raise Refused(
                    f"{name}: Metadata.BuildProperties.Binary is {binary!r}; it must name one of the function binaries "
                    + ", ".join(sorted(locations))
                )
            properties = {**resource["Properties"], "CodeUri": locations[binary]}
            resource = {**resource, "Properties": properties}
        resources[name] = resource
    return {**template, "Resources": resources}


def with_properties(template: dict, properties: dict) -> dict:
    """The template with these properties of these resources replaced."""
    resources = dict(template["Resources"])
    for name, changed in properties.items():
        if name not in resources:
            raise Refused(f"the template has no resource {name} to replace properties of")
        resources[name] = {**resources[name], "Properties": {**resources[name].get("Properties", {}), **changed}}
    return {**template, "Resources": resources}


def without_metric_math(template: dict) -> dict:
    """The template with alarms on their first metric only, where they use metric math. MiniStack refuses metric math, and
    it has no metrics of the functions."""
    resources = dict(template["Resources"])
    for name, resource in resources.items():
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]:
            properties = dict(resource["Properties"])
            first = next(metric["MetricStat"] for metric in properties.pop("Metrics") if "MetricStat" in metric)
            properties.update(first["Metric"], Statistic=first["Stat"], Period=first["Period"])
            resources[name] = {**resource, "Properties": properties}
    return {**template, "Resources": resources}


def log_groups(resources: dict, functions: dict) -> dict:
    """The log group of each function, which the template names after the function."""
    return {logical: resources.get(f"{logical}Logs", f"/aws/lambda/{name}") for logical, name in functions.items()}


def with_batch_actions(value):
    """The value with SQS's batch calls permitted wherever the single calls are.

    AWS has one action for both (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html);
    MiniStack requires an action that is named after the call.
    """
    if isinstance(value, list):
        return [with_batch_actions(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: with_batch_actions(item) for key, item in value.items()}
    if "Effect" in changed and "Action" in changed:
        actions = changed["Action"] if isinstance(changed["Action"], list) else [changed["Action"]]
        changed["Action"] = actions + [f"{action}Batch" for action in actions if action in BATCHED]
    return changed


def with_characters_excluded(template: dict) -> dict:
    """The template with excluded punctuation written as excluded characters, because MiniStack supports only those."""
    resources = {}
    for name, resource in template["Resources"].items():
        generate = resource.get("Properties", {}).get("GenerateSecretString", {})
        if generate.get("ExcludePunctuation"):
            excluded = generate.get("ExcludeCharacters", "") + string.punctuation
            generate = {**generate, "ExcludeCharacters": excluded}
            resource = {**resource, "Properties": {**resource["Properties"], "GenerateSecretString": generate}}
        resources[name] = resource
    return {**template, "Resources": resources}


def routes(template: dict) -> list:
    """(API, route key, function) for every HttpApi event, by logical id."""
    found = []
    for name, resource in template["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        for event_name, event in resource["Properties"].get("Events", {}).items():
            if event["Type"] != "HttpApi":
                continue
            properties = event.get("Properties", {})
            api = properties.get("ApiId", {"Ref": "ServerlessHttpApi"})
            if not isinstance(api, dict) or set(api) != {"Ref"}:
                raise Refused(f"{name}.{event_name}: ApiId must be a !Ref to an API of this template")
            method, path = properties.get("Method", "any").upper(), properties.get("Path")
            route_key = f"{method} {path}" if path else "$default"
            found.append((api["Ref"], route_key, name))
    return found


def http_functions(template: dict, binaries: dict, configurations: dict) -> list:
    """The functions behind the routes: each one's binary, and its settings and time-out as deployed."""
    found = {}
    for _, route_key, name in routes(template):
        binary = binaries[template["Resources"][name]["Metadata"]["BuildProperties"]["Binary"]]
        settings, timeout = configurations[name]["Environment"]["Variables"], configurations[name]["Timeout"]
        function = {"binary": binary, "routes": [], "settings": settings, "timeout_seconds": timeout}
        found.setdefault(name, function)["routes"].append(route_key)
    return list(found.values())


def cors_configurations(template: dict, parameters: dict) -> dict:
    """The CORS configuration of each HTTP API that has one, as UpdateApi takes it."""
    inherited = template.get("Globals", {}).get("HttpApi", {}).get("CorsConfiguration")
    found = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] != "AWS::Serverless::HttpApi":
            continue
        cors = resource.get("Properties", {}).get("CorsConfiguration", inherited)
        if cors is True:
            cors = {"AllowOrigins": ["*"]}
        if cors:
            found[name] = resolved(cors, parameter_values(template, parameters))
    return found


def parameter_values(template: dict, parameters: dict) -> dict:
    """The value that a !Ref to each parameter stands for."""
    values = {}
    for name, declaration in template.get("Parameters", {}).items():
        value = parameters.get(name, declaration.get("Default"))
        if value is not None and declaration["Type"] in ("CommaDelimitedList", "List<Number>"):
            value = [item.strip() for item in str(value).split(",")]
        values[name] = value
    return values


def resolved(value, references: dict):
    """The value with each !Ref to a parameter replaced by the parameter's value."""
    if isinstance(value, list):
        return [resolved(item, references) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        if value["Ref"] not in references:
            raise Refused(f"!Ref {value['Ref']} in a CORS configuration is not a parameter; the local stack knows no other")
        return references[value["Ref"]]
    for key in value:
        if key.startswith("Fn::"):
            raise Refused(f"{key} in a CORS configuration: the local stack only knows !Ref to a parameter there")
    return {key: resolved(item, references) for key, item in value.items()}


def zipped(binary: pathlib.Path) -> bytes:
    """A deployment package with the binary as `bootstrap`, without its symbols where `strip` is installed."""
    with tempfile.TemporaryDirectory() as folder:
        bootstrap = pathlib.Path(folder, "bootstrap")
        shutil.copyfile(binary, bootstrap)
        if shutil.which("strip"):
            subprocess.run(["strip", bootstrap], check=False, capture_output=True)
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr(entry, bootstrap.read_bytes())
        return package.getvalue()


def upload(s3, binaries: dict) -> dict:
    """Puts every binary into the bucket and returns each one's address."""
    s3.create_bucket(Bucket=BUCKET)
    locations = {}
    for name, path in binaries.items():
        package = zipped(pathlib.Path(path))
        key = f"{name}-{hashlib.sha256(package).hexdigest()[:16]}.zip"
        s3.put_object(Bucket=BUCKET, Key=key, Body=package)
        locations[name] = f"s3://{BUCKET}/{key}"
    return locations


def built(template: dict, folder: pathlib.Path) -> dict:
    """The path of every binary in the folder of `sam build`."""
    functions = (resource for resource in template["Resources"].values() if resource["Type"] == "AWS::Serverless::Function")
    return {binary_of(function): str(folder / function["Properties"]["CodeUri"]) for function in functions}


def create_stack(cloudformation, s3, template: dict, parameters: dict) -> None:
    """Creates the stack and waits for it."""
    # The template is too long for a request:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
    s3.put_object(Bucket=BUCKET, Key="template.json", Body=json.dumps(template).encode())
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"https://s3.amazonaws.com/{BUCKET}/template.json",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    deadline = time.monotonic() + DEPLOY_SECONDS
    while True:
        stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return
        if stack["StackStatus"] != "CREATE_IN_PROGRESS":
            raise Refused(f"the stack is {stack['StackStatus']}: {failures(cloudformation) or stack.get('StackStatusReason')}")
        if time.monotonic() > deadline:
            raise Refused(f"the stack is still being created after {DEPLOY_SECONDS} s: {failures(cloudformation)}")
        time.sleep(0.1)


def sam_deploy(template: dict, parameters: dict, endpoint: str) -> None:
    """Creates the stack with `sam deploy`."""
    sam = shutil.which("sam")
    if not sam:
        raise Refused("`sam deploy` needs the SAM CLI on the PATH: pip install aws-sam-cli")
    # The environment must not contain this machine's AWS settings.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
    environment |= {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SAM_CLI_TELEMETRY": "0",
    }
    with tempfile.TemporaryDirectory() as folder:
        # JSON is YAML, and SAM reads parameters from a file with this ending, in which no value needs quotes.
        for name, content in (("template.yaml", template), ("parameters.yaml", parameters)):
            pathlib.Path(folder, name).write_text(json.dumps(content), encoding="utf-8")
        command = [sam, "deploy", "--template-file", f"{folder}/template.yaml", "--stack-name", STACK]
        command += ["--parameter-overrides", f"file://{folder}/parameters.yaml", "--capabilities", "CAPABILITY_IAM"]
        command += ["--resolve-s3", "--no-confirm-changeset", "--no-progressbar"]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, timeout=SAM_SECONDS, check=False, **output
            )
        except subprocess.TimeoutExpired:
            raise Refused(f"`sam deploy` has not ended after {SAM_SECONDS} s") from None
    if done.returncode:
        raise Refused("`sam deploy` says:\n" + "\n".join(done.stdout.strip().splitlines()[-30:]))


def failures(cloudformation) -> str:
    """The resources that failed, with the reasons, in the order of the failures."""
    events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    return "; ".join(
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', event['ResourceStatus'])}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("FAILED")
    )


def create_routes(apigateway, template: dict, resources: dict, function_arns: dict) -> None:
    """Creates the routes of the template's HttpApi events."""
    for api, route_key, function in routes(template):
        integration = apigateway.create_integration(
            ApiId=resources[api],
            IntegrationType="AWS_PROXY",
            IntegrationUri=function_arns[function],
            PayloadFormatVersion="2.0",
        )
        apigateway.create_route(
            ApiId=resources[api], RouteKey=route_key, Target=f"integrations/{integration['IntegrationId']}"
        )


def main() -> None:
    import boto3
    from botocore.config import Config
    from samtranslator.yaml_helper import yaml_parse

    request = json.load(sys.stdin)
    parameters, endpoint = request["parameters"], request["endpoint"]

    def client(service):
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    path = pathlib.Path(request["template"])
    template = yaml_parse(path.read_text(encoding="utf-8"))
    template = with_batch_actions(without_metric_math(with_properties(template, request["properties"])))
    template = with_characters_excluded(template)
    cloudformation = client("cloudformation")
    binaries = request["binaries"]
    if binaries is None:
        folders = built(template, path.parent)
        binaries = {name: f"{folder}/bootstrap" for name, folder in folders.items()}
        sam_deploy(with_code(template, folders), parameters, endpoint)
    else:
        s3 = client("s3")
        locations = upload(s3, binaries)
        create_stack(cloudformation, s3, with_code(template, locations), parameters)
    stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    resources, apis, functions = {}, [], {}
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK):
        for resource in page["StackResourceSummaries"]:
            logical, physical = resource["LogicalResourceId"], resource["PhysicalResourceId"]
            resources[logical] = physical
            if resource["ResourceType"] == "AWS::ApiGatewayV2::Api":
                apis.append(physical)
            if resource["ResourceType"] == "AWS::Lambda::Function":
                functions[logical] = physical
    if len(apis) != 1:
        raise Refused(f"the template has {len(apis)} HTTP APIs; the local stack serves exactly one")

    function = client("lambda")
    configurations = {
        logical: function.get_function(FunctionName=physical)["Configuration"] for logical, physical in functions.items()
    }
    arns = {logical: configuration["FunctionArn"] for logical, configuration in configurations.items()}
    apigateway = client("apigatewayv2")
    create_routes(apigateway, template, resources, arns)
    for api, cors in cors_configurations(template, parameters).items():
        apigateway.update_api(ApiId=resources[api], CorsConfiguration=cors)

    secretsmanager = client("secretsmanager")
    for output, value in request["secrets"].items():
        if output not in outputs:
            raise Refused(f"the template has no output {output} that names the secret")
        secretsmanager.put_secret_value(SecretId=outputs[output], SecretString=value)

    logs = log_groups(resources, functions)
    http = http_functions(template, binaries, configurations)
    json.dump({"outputs": outputs, "functions": functions, "logs": logs, "api": apis[0], "http": http}, sys.stdout)


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(str(error))
