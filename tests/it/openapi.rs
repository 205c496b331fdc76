//! `functions/openapi.yaml` matches the template and the code, and its examples match its schemas.

use std::{collections::BTreeSet, fs};

use jsonschema::Registry;
use local_stack::yaml;
use serde_json::{Value, json};

use crate::{template::Template, workspace};

const DOCUMENT: &str = "https://api.example.test/functions/openapi.yaml";
const METHODS: [&str; 8] = ["delete", "get", "head", "options", "patch", "post", "put", "trace"];

fn document() -> Value {
    yaml::read(&fs::read_to_string(workspace::root().join("functions/openapi.yaml")).unwrap()).unwrap()
}

#[test]
fn the_document_has_exactly_the_routes_that_are_deployed() {
    let template = Template::read();
    let routes = workspace::functions().into_iter().flat_map(|function| {
        // OpenAPI has no notation of its own for a parameter of several path segments.
        let routes = template.routes(&function).into_iter();
        routes.map(move |(method, path)| (function.clone(), method, path.replace("+}", "}"))).collect::<Vec<_>>()
    });
    let deployed: BTreeSet<_> = routes.collect();
    let document = document();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if METHODS.contains(&method.as_str()) {
                let function = operation["tags"][0].as_str().unwrap().to_owned();
                described.insert((function, method.to_uppercase(), path.clone()));
            }
        }
    }
    assert_eq!(described, deployed, "functions/openapi.yaml (left) describes what template.yaml (right) deploys");
}

#[test]
fn the_document_and_the_readme_have_exactly_the_problem_types_of_the_code() {
    let mut given = BTreeSet::new();
    for folder in ["functions", "shared"] {
        for path in workspace::files(&workspace::root().join(folder), "rs") {
            let code = fs::read_to_string(path).unwrap();
            let code = code.split("#[cfg(test)]").next().unwrap_or_default();
            let literals = code.split('"').filter(|text| text.starts_with("/problems/"));
            given.extend(literals.map(str::to_owned));
        }
    }
    let document = document();
    let types = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].as_array().unwrap();
    let described: BTreeSet<_> = types.iter().map(|kind| kind.as_str().unwrap().to_owned()).collect();
    assert_eq!(described, given, "functions/openapi.yaml (left) has the problem types that functions give (right)");
    let readme = fs::read_to_string(workspace::root().join("README.md")).unwrap();
    for kind in given {
        assert!(readme.contains(&format!("`{kind}`")), "README.md explains {kind}");
    }
}

#[test]
fn every_example_fits_its_schema() {
    let document = document();
    let files = workspace::files(&workspace::root().join("events/schemas"), "json").into_iter().map(|path| {
        let schema: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        (format!("https://api.example.test/events/schemas/{name}"), schema)
    });
    let registry = Registry::new().extend(files).unwrap().prepare().unwrap();
    let mut examples = 0;
    let mut places = vec![(String::new(), &document)];
    while let Some((place, value)) = places.pop() {
        if !value["schema"].is_null() {
            let schema = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": DOCUMENT,
                "components": document["components"], "allOf": [value["schema"]],
            });
            let validator = jsonschema::options().with_registry(&registry).should_validate_formats(true).build(&schema);
            let validator = validator.unwrap_or_else(|error| panic!("{place}: {error}"));
            let named = value["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
            for example in value.get("example").into_iter().chain(named) {
                examples += 1;
                let faults: Vec<_> = validator.iter_errors(example).map(|error| error.to_string()).collect();
                assert!(faults.is_empty(), "{place}: {faults:?}");
            }
        }
        match value {
            Value::Object(entries) => places.extend(entries.iter().map(|(name, it)| (format!("{place}/{name}"), it))),
            Value::Array(items) => places.extend(items.iter().map(|it| (format!("{place}/*"), it))),
            _ => {}
        }
    }
    assert!(examples > 50, "{examples}");
}
