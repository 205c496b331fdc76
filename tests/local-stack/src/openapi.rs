//! Serves the OpenAPI document of the functions, and a readable page of it that needs no script.

use std::collections::BTreeMap;

use anyhow::Context;
use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;

use crate::site::{Site, not_found};
use crate::yaml;

/// The workspace's document.
const DOCUMENT: &str = include_str!("../../../functions/openapi.yaml");

/// The schemas that the document refers to, by file name.
const SCHEMAS: [(&str, &str); 3] = [
    ("ApplicationSubmitted.v1.json", include_str!("../../../events/schemas/ApplicationSubmitted.v1.json")),
    ("InvitationRequested.v1.json", include_str!("../../../events/schemas/InvitationRequested.v1.json")),
    ("LoginLinkRequested.v1.json", include_str!("../../../events/schemas/LoginLinkRequested.v1.json")),
];

/// The routes of the document, of the schemas at the addresses that it refers to, and of the page.
///
/// # Errors
/// When one of them cannot be read.
pub(crate) fn router() -> anyhow::Result<Router<Site>> {
    let page = Html(Documents::read()?.page().render()?);
    Ok(Router::new()
        .route("/openapi.yaml", get(async || ([(CONTENT_TYPE, "application/yaml")], DOCUMENT)))
        .route("/events/schemas/{name}", get(schema))
        .route("/api", get(async move || page)))
}

async fn schema(Path(name): Path<String>) -> Response {
    match SCHEMAS.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => ([(CONTENT_TYPE, "application/schema+json")], *text).into_response(),
        None => not_found().await,
    }
}

/// The page.
#[derive(Template)]
#[template(path = "api.html")]
struct Page<'a> {
    title: &'a str,
    summary: &'a str,
    description: Prose<'a>,
    servers: Vec<(&'a str, Prose<'a>)>,
    groups: Vec<Group<'a>>,
    proofs: Vec<Row<'a>>,
}

/// The operations of one function.
struct Group<'a> {
    name: &'a str,
    description: Prose<'a>,
    operations: Vec<Operation<'a>>,
}

struct Operation<'a> {
    id: &'a str,
    method: String,
    path: &'a str,
    summary: &'a str,
    description: Prose<'a>,
    /// The names of the security schemes. A request needs one of them.
    proofs: Vec<&'a str>,
    parameters: Vec<Row<'a>>,
    contents: Vec<Content<'a>>,
    answers: Vec<Answer<'a>>,
}

struct Answer<'a> {
    status: &'a str,
    description: Prose<'a>,
    headers: Vec<Row<'a>>,
    contents: Vec<Content<'a>>,
}

/// A body in one of its media types.
#[derive(Template)]
#[template(path = "api-content.html")]
struct Content<'a> {
    media_type: &'a str,
    rows: Vec<Row<'a>>,
    examples: Vec<Example<'a>>,
}

struct Example<'a> {
    name: &'a str,
    text: String,
}

/// A field, a header, a parameter, or the body as a whole.
#[derive(Template)]
#[template(path = "api-row.html")]
struct Row<'a> {
    name: String,
    /// Its type and its limits, in the words of JSON Schema.
    kind: String,
    required: bool,
    note: Prose<'a>,
}

/// Paragraphs in which every second piece between backticks is code.
#[derive(Template)]
#[template(
    ext = "html",
    source = "{% for paragraph in text.trim().split(\"\n\n\") %}<p>{% for piece in paragraph.split('`') %}{% if loop.index0 % 2 == 1 %}<code>{{ piece }}</code>{% else %}{{ piece }}{% endif %}{% endfor %}</p>{% endfor %}"
)]
struct Prose<'a> {
    text: &'a str,
}

impl<'a> Prose<'a> {
    /// The description in an object, empty if it has none.
    fn of(object: &'a Value) -> Self {
        Self { text: text(&object["description"]) }
    }
}

/// The document and the schemas that it refers to.
struct Documents {
    main: Value,
    schemas: BTreeMap<&'static str, Value>,
}

/// A place in the document or in a schema.
#[derive(Clone, Copy)]
struct At<'a> {
    document: &'a Value,
    value: &'a Value,
}

impl<'a> At<'a> {
    fn get(self, name: &str) -> Self {
        Self { value: &self.value[name], ..self }
    }

    fn entries(self) -> impl Iterator<Item = (&'a String, Self)> {
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(move |(name, value)| (name, Self { value, ..self }))
    }

    fn items(self) -> impl Iterator<Item = Self> {
        self.value.as_array().into_iter().flatten().map(move |value| Self { value, ..self })
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Documents {
    fn read() -> anyhow::Result<Self> {
        let schema = |(name, text)| anyhow::Ok((name, serde_json::from_str(text).context(name)?));
        Ok(Self {
            main: yaml::read(DOCUMENT).context("functions/openapi.yaml")?,
            schemas: SCHEMAS.into_iter().map(schema).collect::<Result<_, _>>()?,
        })
    }

    fn page<'a>(&'a self) -> Page<'a> {
        let main = At { document: &self.main, value: &self.main };
        let info = main.get("info").value;
        let server = |at: At<'a>| (text(&at.value["url"]), Prose::of(at.value));
        let group = |tag: At<'a>| Group {
            name: text(&tag.value["name"]),
            description: Prose::of(tag.value),
            operations: self.operations(main, &tag.value["name"]),
        };
        let proof = |(name, at): (&'a String, At<'a>)| Row {
            name: name.clone(),
            kind: format!("{} {}", text(&at.value["in"]), text(&at.value["name"])),
            required: false,
            note: Prose::of(at.value),
        };
        Page {
            title: text(&info["title"]),
            summary: text(&info["summary"]),
            description: Prose::of(info),
            servers: main.get("servers").items().map(server).collect(),
            groups: main.get("tags").items().map(group).collect(),
            proofs: main.get("components").get("securitySchemes").entries().map(proof).collect(),
        }
    }

    /// The operations with a tag.
    fn operations<'a>(&'a self, main: At<'a>, tag: &Value) -> Vec<Operation<'a>> {
        let paths = main.get("paths").entries();
        let operations =
            paths.flat_map(|(path, item)| item.entries().map(move |(method, at)| (path, item, method, at)));
        let tagged = operations.filter(|(.., at)| at.get("tags").items().any(|its| its.value == tag));
        let operation = |(path, item, method, at): (&'a String, At<'a>, &'a String, At<'a>)| {
            let parameters = item.get("parameters").items().chain(at.get("parameters").items());
            let proofs = at.get("security").items().flat_map(At::entries);
            Operation {
                id: text(&at.value["operationId"]),
                method: method.to_uppercase(),
                path,
                summary: text(&at.value["summary"]),
                description: Prose::of(at.value),
                proofs: proofs.map(|(name, _)| name.as_str()).collect(),
                parameters: parameters
                    .flat_map(|at| self.parameter(text(&self.resolved(at).value["name"]), at))
                    .collect(),
                contents: self.contents(at.get("requestBody")),
                answers: at.get("responses").entries().map(|(status, at)| self.answer(status, at)).collect(),
            }
        };
        tagged.map(operation).collect()
    }

    fn answer<'a>(&'a self, status: &'a str, at: At<'a>) -> Answer<'a> {
        let at = self.resolved(at);
        let headers = at.get("headers").entries();
        Answer {
            status,
            description: Prose::of(at.value),
            headers: headers.flat_map(|(name, at)| self.parameter(name, at)).collect(),
            contents: self.contents(at),
        }
    }

    /// A parameter or a header, under its name.
    fn parameter<'a>(&'a self, name: &str, at: At<'a>) -> Vec<Row<'a>> {
        let at = self.resolved(at);
        let mut rows = Vec::new();
        self.describe(name, at.value["required"] == true, vec![at.get("schema")], &mut rows);
        if let Some(row) = rows.first_mut() {
            let place = Some(text(&at.value["in"])).filter(|place| !place.is_empty());
            let example = Some(&at.value["example"]).filter(|example| !example.is_null());
            let kind = place.map(str::to_owned).into_iter().chain([std::mem::take(&mut row.kind)]);
            let kind = kind.chain(example.map(|example| format!("such as {}", plain(example))));
            row.kind = kind.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" · ");
            row.note = Prose::of(at.value);
        }
        rows
    }

    fn contents<'a>(&'a self, at: At<'a>) -> Vec<Content<'a>> {
        let content = |(media_type, at): (&'a String, At<'a>)| {
            let mut rows = Vec::new();
            self.describe("", false, vec![at.get("schema")], &mut rows);
            let one = Some(&at.value["example"]).filter(|example| !example.is_null()).map(|example| ("", example));
            let named = at.get("examples").entries().map(|(name, example)| (name.as_str(), &example.value["value"]));
            let example = |(name, value): (&'a str, &Value)| Example { name, text: format!("{value:#}") };
            Content { media_type, rows, examples: one.into_iter().chain(named).map(example).collect() }
        };
        at.get("content").entries().map(content).collect()
    }

    /// Describes a schema in one row for each field. Several places that describe one field together are passed
    /// together.
    fn describe<'a>(&'a self, name: &str, required: bool, places: Vec<At<'a>>, rows: &mut Vec<Row<'a>>) {
        let layers = self.layers(places);
        let descriptions = layers.iter().filter(|at| at.value["description"].is_string());
        let note = descriptions.map(|at| Prose::of(at.value)).next().unwrap_or(Prose { text: "" });
        rows.push(Row { name: name.to_owned(), kind: kind(&layers), required, note });

        let under = |field: &str| if name.is_empty() { field.to_owned() } else { format!("{name}.{field}") };
        let needed = |field: &str| {
            layers.iter().any(|at| at.get("required").items().any(|name| name.value.as_str() == Some(field)))
        };
        let mut fields = BTreeMap::<_, Vec<_>>::new();
        for (field, at) in layers.iter().flat_map(|at| at.get("properties").entries()) {
            fields.entry(field).or_default().push(at);
        }
        for (field, places) in fields {
            self.describe(&under(field), needed(field), places, rows);
        }
        for (keyword, field) in [("propertyNames", "(each name)"), ("additionalProperties", "(any other)")] {
            let places: Vec<_> = layers.iter().map(|at| at.get(keyword)).filter(|at| at.value.is_object()).collect();
            if !places.is_empty() {
                self.describe(&under(field), false, places, rows);
            }
        }
        let items: Vec<_> = layers.iter().map(|at| at.get("items")).filter(|at| at.value.is_object()).collect();
        if !items.is_empty() {
            self.describe(&format!("{name}[]"), false, items, rows);
        }
        let alternatives = layers.iter().flat_map(|at| ["oneOf", "anyOf"].map(|keyword| at.get(keyword)));
        for at in alternatives.flat_map(At::items) {
            self.describe(&format!("{name} or"), false, vec![at], rows);
        }
    }

    /// The places with everything that they refer to, the nearest first.
    fn layers<'a>(&'a self, places: Vec<At<'a>>) -> Vec<At<'a>> {
        let mut layers = places;
        let mut next = 0;
        while let Some(at) = layers.get(next).copied() {
            layers.extend(self.reference(at));
            layers.extend(at.get("allOf").items());
            next += 1;
        }
        layers
    }

    fn resolved<'a>(&'a self, at: At<'a>) -> At<'a> {
        self.reference(at).unwrap_or(at)
    }

    fn reference<'a>(&'a self, at: At<'a>) -> Option<At<'a>> {
        let (file, pointer) = at.value["$ref"].as_str()?.split_once('#').unwrap_or((text(&at.value["$ref"]), ""));
        let document = match file.rsplit('/').next() {
            None | Some("") => at.document,
            Some(name) => self.schemas.get(name)?,
        };
        Some(At { document, value: document.pointer(pointer)? })
    }
}

/// The types and limits of a row: every keyword that has no row of its own.
fn kind(layers: &[At<'_>]) -> String {
    const ELSEWHERE: [&str; 14] = [
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "allOf",
        "anyOf",
        "description",
        "items",
        "oneOf",
        "properties",
        "propertyNames",
        "required",
        "title",
        "type",
    ];
    let title = layers.iter().map(|at| text(&at.value["title"]).to_owned()).find(|title| !title.is_empty());
    let types = layers.iter().map(|at| plain(&at.value["type"])).find(|kind| !kind.is_empty());
    let closed = layers.iter().any(|at| at.value["additionalProperties"] == false);
    // Requirements that belong to no single field, such as the need for one of two fields.
    let needs = layers.iter().filter(|at| at.value["properties"].is_null() && at.value["required"].is_array());
    let needs = needs.map(|at| format!("with {}", plain(&at.value["required"])));
    let limits = layers.iter().flat_map(|at| at.entries()).filter(|(name, _)| !ELSEWHERE.contains(&name.as_str()));
    let limits = limits.map(|(name, at)| format!("{name} {}", plain(at.value)));
    let words = title.into_iter().chain(types).chain(needs).chain(limits);
    words.chain(closed.then(|| "no other fields".to_owned())).collect::<Vec<_>>().join(" · ")
}

/// Text as it is, a list with commas, anything else as JSON; nothing for null.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_operation_and_resolves_every_reference() {
        let documents = Documents::read().unwrap();
        let html = documents.page().render().unwrap();
        let paths = documents.main["paths"].as_object().unwrap();
        let operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
        let ids: Vec<_> = operations.filter_map(|operation| operation["operationId"].as_str()).collect();
        assert!(ids.len() > 10, "{ids:?}");
        for id in ids {
            assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
        }
        for text in [
            "data.attributes.Phone",
            "errors[].detail",
            "/problems/wrong-credentials",
            "minLength 8",
            "__Host-portal-session",
            "<code>Idempotency-Key</code>",
            "schema name of a lead field",
            "Too Many Requests",
            "with email",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("<script") && !html.contains("style="), "{html}");

        let mut places = vec![At { document: &documents.main, value: &documents.main }];
        places.extend(documents.schemas.values().map(|value| At { document: value, value }));
        let mut references = 0;
        while let Some(at) = places.pop() {
            if at.value["$ref"].is_string() {
                references += 1;
                assert!(documents.reference(at).is_some(), "{}", at.value);
            }
            places.extend(at.entries().map(|(_, at)| at).chain(at.items()));
        }
        assert!(references > 100, "{references}");
    }
}
