//! `template.yaml` as data.

use std::{collections::BTreeSet, fs};

use local_stack::yaml;
use serde_json::{Map, Value, json};

use crate::workspace;

/// Name of the stack that tests deploy.
pub(crate) const STACK: &str = "applicants";

/// The deployment template, with CloudFormation's short tags written out: `!Ref X` is `{"Ref": "X"}`.
pub(crate) struct Template(Value);

impl Template {
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(workspace::root().join("template.yaml")).unwrap();
        Self(yaml::read(&text).unwrap())
    }

    /// The properties of every function, each with the name of its binary.
    pub(crate) fn functions(&self) -> Vec<(&str, &Value)> {
        self.functions_by_id().into_iter().map(|(_, binary, properties)| (binary, properties)).collect()
    }

    /// The same, each with its logical id before it.
    pub(crate) fn functions_by_id(&self) -> Vec<(&str, &str, &Value)> {
        let functions = self.resources("AWS::Serverless::Function");
        functions
            .map(|(id, resource)| {
                let binary = resource["Metadata"]["BuildProperties"]["Binary"].as_str();
                (id.as_str(), binary.unwrap_or_else(|| panic!("{id} names its binary")), &resource["Properties"])
            })
            .collect()
    }

    fn function(&self, name: &str) -> &Value {
        let functions = self.functions();
        functions.iter().find(|(other, _)| *other == name).expect("the function is deployed").1
    }

    /// Method and path of each of a function's routes on the HTTP API.
    pub(crate) fn routes(&self, function: &str) -> Vec<(String, String)> {
        let events = self.function(function)["Events"].as_object().into_iter().flatten().map(|(_, event)| event);
        let text = |value: &Value| value.as_str().expect("a route is two texts").to_owned();
        let routes = events.filter(|event| event["Type"] == "HttpApi").map(|event| &event["Properties"]);
        routes.map(|route| (text(&route["Method"]), text(&route["Path"]))).collect()
    }

    /// The throttling of single routes of the HTTP API, by method and path.
    pub(crate) fn route_limits(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.resources("AWS::Serverless::HttpApi")
            .flat_map(|(_, api)| api["Properties"]["RouteSettings"].as_object().into_iter().flatten())
    }

    /// The names in a section, such as `Parameters`.
    pub(crate) fn names(&self, section: &str) -> impl Iterator<Item = &str> {
        self.0[section].as_object().expect("the section is there").keys().map(String::as_str)
    }

    /// The parameters that have no default.
    pub(crate) fn required(&self) -> impl Iterator<Item = &str> {
        let parameters = self.0["Parameters"].as_object().expect("the template has parameters").iter();
        parameters.filter(|(_, parameter)| parameter["Default"].is_null()).map(|(name, _)| name.as_str())
    }

    /// The resource with this id; `Null` if there is none.
    pub(crate) fn resource(&self, id: &str) -> &Value {
        &self.0["Resources"][id]
    }

    /// A property of a function, from `Globals` by default.
    pub(crate) fn property<'a>(&'a self, function: &'a Value, name: &str) -> &'a Value {
        function.get(name).unwrap_or(&self.0["Globals"]["Function"][name])
    }

    /// The names and values of a function's environment, those of `Globals` included.
    pub(crate) fn environment(&self, function: &Value) -> Map<String, Value> {
        let mut variables = Map::new();
        for scope in [&self.0["Globals"]["Function"], function] {
            if let Some(scope) = scope["Environment"]["Variables"].as_object() {
                variables.extend(scope.clone());
            }
        }
        variables
    }

    /// Whether the template sets this environment variable of a function.
    pub(crate) fn gives(&self, function: &str, setting: &str) -> bool {
        self.environment(self.function(function)).contains_key(setting)
    }

    /// A function's environment: these values, and the parameters' defaults for all others.
    pub(crate) fn settings(&self, function: &str, values: &[(&str, &str)]) -> Vec<(String, String)> {
        let environment = self.environment(self.function(function));
        for (name, _) in values {
            assert!(environment.contains_key(*name), "template.yaml does not give {function} {name}");
        }
        let value = |name: &str, value: &Value| match values.iter().find(|(other, _)| *other == name) {
            Some((_, value)) => (*value).to_owned(),
            None => self.by_default(name, value),
        };
        environment.iter().map(|(name, reference)| (name.clone(), value(name, reference))).collect()
    }

    /// The value of a setting with the parameters' defaults.
    fn by_default(&self, name: &str, value: &Value) -> String {
        match (value, &value["Ref"], &value["Fn::If"][2], &value["Fn::Sub"]) {
            (Value::String(text), ..) => text.clone(),
            (_, Value::String(name), ..) if name == "AWS::StackName" || name == "AWS::StackId" => STACK.to_owned(),
            (_, Value::String(parameter), ..) => self.default(parameter),
            // Every condition of a setting is false by default.
            (_, _, otherwise, _) if !otherwise.is_null() => self.by_default(name, otherwise),
            _ if value["Fn::Join"][0] == "," => self.by_default(name, &value["Fn::Join"][1]),
            (_, _, _, Value::String(address)) => address.replace("${Api.ApiEndpoint}", "https://api.example.test"),
            _ => panic!("{name}: a setting without a value is a parameter, an address or has a condition"),
        }
    }

    /// The statements of a function's role, conditional ones included.
    pub(crate) fn statements(&self, function: &Value) -> Vec<&Value> {
        let role = self.target(&function["Role"]);
        assert_eq!(role["Type"], "AWS::IAM::Role");
        let policies = role["Properties"]["Policies"].as_array().expect("a role permits something").iter();
        let statements = policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
        statements.map(|statement| statement["Fn::If"].get(1).unwrap_or(statement)).collect()
    }

    /// The resource that `{"Ref": …}` or `{"Fn::GetAtt": …}` points at.
    pub(crate) fn target(&self, reference: &Value) -> &Value {
        let name = reference["Ref"].as_str().or_else(|| reference["Fn::GetAtt"].as_str()?.split('.').next());
        &self.0["Resources"][name.unwrap_or_else(|| panic!("{reference} is not a reference"))]
    }

    /// The queues of dead letters and of failed events.
    pub(crate) fn dead_letter_queues(&self) -> BTreeSet<&str> {
        fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
            for (name, inner) in value.as_object().into_iter().flatten() {
                let target = match name.as_str() {
                    "deadLetterTargetArn" => inner,
                    "DeadLetterConfig" => &inner["Arn"],
                    "DeadLetterQueue" => &inner["TargetArn"],
                    "OnFailure" => &inner["Destination"],
                    _ => &Value::Null,
                };
                found.extend(target["Fn::GetAtt"].as_str().and_then(|target| target.strip_suffix(".Arn")));
                collect(inner, found);
            }
            value.as_array().into_iter().flatten().for_each(|inner| collect(inner, found));
        }
        let mut found = BTreeSet::new();
        collect(&self.0["Resources"], &mut found);
        found
    }

    /// The default of a parameter.
    pub(crate) fn default(&self, parameter: &str) -> String {
        match &self.0["Parameters"][parameter]["Default"] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => panic!("the parameter {parameter} has no default"),
        }
    }

    /// The values that a parameter may have.
    pub(crate) fn allowed(&self, parameter: &str) -> BTreeSet<String> {
        let allowed = self.0["Parameters"][parameter]["AllowedValues"].as_array();
        let allowed = allowed.unwrap_or_else(|| panic!("the parameter {parameter} has no AllowedValues"));
        allowed.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    /// The largest value of a parameter.
    pub(crate) fn most(&self, parameter: &str) -> i64 {
        let most = self.0["Parameters"][parameter]["MaxValue"].as_i64();
        most.unwrap_or_else(|| panic!("the parameter {parameter} has no MaxValue"))
    }

    /// The parameters that decide about a value: those it refers to, and those of its conditions.
    pub(crate) fn parameters_of(&self, value: &Value) -> BTreeSet<String> {
        fn collect(template: &Value, value: &Value, found: &mut BTreeSet<String>) {
            if let Some(name) = value["Ref"].as_str() {
                found.insert(name.to_owned());
            }
            if let Some(condition) = value["Fn::If"][0].as_str() {
                collect(template, &template["Conditions"][condition], found);
            }
            value.as_object().into_iter().flatten().for_each(|(_, inner)| collect(template, inner, found));
            value.as_array().into_iter().flatten().for_each(|inner| collect(template, inner, found));
        }
        let mut found = BTreeSet::new();
        collect(&self.0, value, &mut found);
        let parameters: BTreeSet<_> = self.names("Parameters").collect();
        found.retain(|name| parameters.contains(name.as_str()));
        found
    }

    /// The types of all resources.
    pub(crate) fn resource_types(&self) -> BTreeSet<&str> {
        let resources = self.0["Resources"].as_object().expect("the template has resources");
        resources.values().filter_map(|resource| resource["Type"].as_str()).collect()
    }

    /// All resources of a type, by id.
    pub(crate) fn resources(&self, kind: &str) -> impl Iterator<Item = (&String, &Value)> {
        let resources = self.0["Resources"].as_object().expect("the template has resources");
        resources.iter().filter(move |(_, resource)| resource["Type"] == kind)
    }
}

/// The metrics of an alarm that our functions print.
pub(crate) fn own_metrics(alarm: &Value) -> Vec<&Value> {
    let alarm = &alarm["Properties"];
    let metrics = match alarm["Metrics"].as_array() {
        Some(metrics) => metrics.iter().map(|metric| &metric["MetricStat"]["Metric"]).collect(),
        None => vec![alarm],
    };
    metrics.into_iter().filter(|metric| metric["Namespace"] == json!({"Ref": "AWS::StackName"})).collect()
}
