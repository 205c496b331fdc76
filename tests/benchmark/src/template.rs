//! The functions of `template.yaml`, and their settings.

use local_stack::yaml;
use serde_json::Value;

use crate::artifacts::workspace;

/// The id of no portal.
const PORTAL_ID: &str = "22222222-2222-4222-8222-222222222222";

/// `template.yaml`.
pub(crate) struct Template(Value);

impl Template {
    pub(crate) fn read() -> anyhow::Result<Self> {
        Ok(Self(yaml::read(&std::fs::read_to_string(workspace().join("template.yaml"))?)?))
    }

    /// The binaries of the functions.
    pub(crate) fn binaries(&self) -> Vec<&str> {
        self.functions().filter_map(|function| function["Metadata"]["BuildProperties"]["Binary"].as_str()).collect()
    }

    /// Every setting of every function: as in `own`, else the parameter's default, else `address`.
    pub(crate) fn settings(&self, own: &[(&str, String)], address: &str) -> Vec<(String, String)> {
        let of_functions = self.functions().filter_map(|function| {
            let variables = &function["Properties"]["Environment"]["Variables"];
            variables.as_object()
        });
        let mut settings: Vec<(String, String)> = of_functions
            .flatten()
            .map(|(name, value)| {
                let parameter = value["Ref"].as_str().unwrap_or_default();
                let value = match &self.0["Parameters"][parameter]["Default"] {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    _ if name == "PORTAL_ID" => PORTAL_ID.to_owned(),
                    _ => address.to_owned(),
                };
                (name.clone(), value)
            })
            .collect();
        settings.retain(|(name, _)| own.iter().all(|(own, _)| own != name));
        settings.extend(own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        settings
    }

    fn functions(&self) -> impl Iterator<Item = &Value> {
        let resources = self.0["Resources"].as_object().into_iter().flat_map(|resources| resources.values());
        resources.filter(|resource| resource["Type"] == "AWS::Serverless::Function")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_the_given_one_or_the_default_or_an_address() {
        let template = Template::read().unwrap();
        assert!(template.binaries().contains(&"application-form"));
        let settings = template.settings(&[("ORGANISATION", "Law school".to_owned())], "http://127.0.0.1:1/");
        let of = |wanted: &str| {
            let mut values = settings.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
            values.next().unwrap_or_else(|| panic!("no setting {wanted}"))
        };
        assert_eq!(of("ORGANISATION"), "Law school");
        assert_eq!(of("LINK_MODE"), "on-click");
        assert_eq!(of("PORTAL_ID"), PORTAL_ID);
        assert_eq!(of("INVITATIONS_QUEUE_URL"), "http://127.0.0.1:1/");
    }
}
