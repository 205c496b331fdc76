//! The pages of a login link.

use askama::Template;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use url::Url;
use web::{TRY_AGAIN_AFTER, allow_forms, page, retry_after};

use crate::page_id::PageId;
use crate::texts::{self, Language, Text};

/// Form field with an e-mail address.
pub(crate) const EMAIL_FIELD: &str = "email";

/// Form field with the code that was mailed together with the link.
pub(crate) const CODE_FIELD: &str = "code";

/// Form field whose presence asks for a fresh link.
pub(crate) const FRESH_FIELD: &str = "fresh";

/// Form field with the id of the page whose button was pressed.
pub(crate) const PAGE_FIELD: &str = "page";

/// The pages in the language of one reader.
pub(crate) struct Pages<'a> {
    pub(crate) language: Language,
    /// The company's name, as applicants know it.
    pub(crate) organisation: &'a str,
    /// The portal page that the button opens.
    pub(crate) portal: &'a Url,
}

/// The button of a page. Its form is sent to the page's own address, so that no page repeats a token.
#[derive(Clone, Copy)]
pub(crate) enum Button {
    /// "Open my application", on the page with this id.
    Open(PageId),
    /// The same beside a field for the mailed code.
    OpenWithCode(PageId),
    /// "Mail me a fresh link".
    Fresh,
    /// "Mail me a link" beside an e-mail address.
    ByEmail,
}

#[derive(Template)]
#[template(path = "login-link.html")]
struct Page<'a> {
    language: Language,
    organisation: &'a str,
    title: &'a str,
    text: &'a str,
    form: Option<Form>,
}

enum Form {
    Open { page: PageId, code: Option<CodeField>, label: &'static str },
    Fresh { label: &'static str },
    Email { label: &'static str, fault: Option<&'static str>, button: &'static str },
}

struct CodeField {
    label: &'static str,
    fault: Option<&'static str>,
}

impl Pages<'_> {
    /// The page of a valid link: the same for every link, except for the page's id.
    pub(crate) fn open(&self, page: PageId) -> Response<String> {
        self.page(StatusCode::OK, &texts::OPEN_TITLE, &texts::OPEN, Some(self.form(Button::Open(page))))
    }

    /// The page of a valid link whose mail brought a code.
    pub(crate) fn ask_code(&self, page: PageId) -> Response<String> {
        self.page(
            StatusCode::OK,
            &texts::OPEN_TITLE,
            &texts::OPEN_WITH_CODE,
            Some(self.form(Button::OpenWithCode(page))),
        )
    }

    /// The same page after a press without the code, or with a wrong one.
    pub(crate) fn ask_code_again(&self, page: PageId) -> Response<String> {
        let code = CodeField { label: self.text(&texts::CODE), fault: Some(self.text(&texts::CODE_WRONG)) };
        let form = Form::Open { page, code: Some(code), label: self.text(&texts::OPEN_BUTTON) };
        self.page(StatusCode::UNPROCESSABLE_ENTITY, &texts::OPEN_TITLE, &texts::OPEN_WITH_CODE, Some(form))
    }

    /// The page of a link whose code was entered wrongly too often.
    pub(crate) fn out_of_tries(&self) -> Response<String> {
        self.page(StatusCode::GONE, &texts::DEAD_LINK_TITLE, &texts::OUT_OF_TRIES, Some(self.form(Button::Fresh)))
    }

    /// The page of a link that does not work: the same for a used, expired, superseded, unknown or malformed link.
    pub(crate) fn dead_link(&self) -> Response<String> {
        self.page(StatusCode::GONE, &texts::DEAD_LINK_TITLE, &texts::DEAD_LINK, Some(self.form(Button::Fresh)))
    }

    /// The page on which a person without a link asks for one.
    pub(crate) fn ask(&self) -> Response<String> {
        self.page(StatusCode::OK, &texts::ASK_TITLE, &texts::ASK, Some(self.form(Button::ByEmail)))
    }

    /// The same page after an invalid e-mail address, or a body that is no form.
    pub(crate) fn ask_again(&self, status: StatusCode) -> Response<String> {
        self.ask_with_fault(
            status,
            match status {
                StatusCode::UNPROCESSABLE_ENTITY => &texts::EMAIL_WRONG,
                _ => &texts::EMAIL_UNREADABLE,
            },
        )
    }

    /// The same page after a form that another site sent.
    pub(crate) fn ask_here(&self) -> Response<String> {
        self.ask_with_fault(StatusCode::FORBIDDEN, &texts::EMAIL_FROM_ANOTHER_SITE)
    }

    fn ask_with_fault(&self, status: StatusCode, fault: &Text) -> Response<String> {
        let form = Form::Email {
            label: self.text(&texts::EMAIL),
            fault: Some(self.text(fault)),
            button: self.text(&texts::ASK_BUTTON),
        };
        self.page(status, &texts::ASK_TITLE, &texts::ASK, Some(form))
    }

    /// The answer to a request for a link: the same page whether or not a link is mailed.
    pub(crate) fn sent(&self) -> Response<String> {
        self.page(StatusCode::ACCEPTED, &texts::SENT_TITLE, &texts::SENT, Some(self.form(Button::ByEmail)))
    }

    /// The page after a failure that passes by itself, with the same button again.
    pub(crate) fn try_again(&self, button: Button) -> Response<String> {
        let form = Some(self.form(button));
        let mut page = self.page(StatusCode::SERVICE_UNAVAILABLE, &texts::TRY_AGAIN_TITLE, &texts::TRY_AGAIN, form);
        page.headers_mut().insert(RETRY_AFTER, retry_after(TRY_AGAIN_AFTER));
        page
    }

    /// The page of a valid link whose lead cannot be signed in: its record in LeadSquared has to be fixed.
    pub(crate) fn lead_unusable(&self) -> Response<String> {
        self.page(StatusCode::CONFLICT, &texts::LEAD_UNUSABLE_TITLE, &texts::LEAD_UNUSABLE, None)
    }

    fn form(&self, button: Button) -> Form {
        match button {
            Button::Open(page) => Form::Open { page, code: None, label: self.text(&texts::OPEN_BUTTON) },
            Button::OpenWithCode(page) => {
                let code = CodeField { label: self.text(&texts::CODE), fault: None };
                Form::Open { page, code: Some(code), label: self.text(&texts::OPEN_BUTTON) }
            }
            Button::Fresh => Form::Fresh { label: self.text(&texts::DEAD_LINK_BUTTON) },
            Button::ByEmail => {
                Form::Email { label: self.text(&texts::EMAIL), fault: None, button: self.text(&texts::ASK_BUTTON) }
            }
        }
    }

    fn page(&self, status: StatusCode, title: &Text, text: &Text, form: Option<Form>) -> Response<String> {
        let Self { language, organisation, portal } = *self;
        let (title, text) = (self.text(title), self.text(text));
        let mut response = page(status, &Page { language, organisation, title, text, form });
        allow_forms(&mut response, portal);
        response
    }

    fn text(&self, text: &Text) -> &'static str {
        text.in_language(self.language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(portal: &Url, language: Language) -> Pages<'_> {
        Pages { language, organisation: "Rao & <Sons>", portal }
    }

    fn all(pages: &Pages<'_>) -> Vec<Response<String>> {
        vec![
            pages.open(PageId::new([7; 16])),
            pages.ask_code(PageId::new([7; 16])),
            pages.ask_code_again(PageId::new([7; 16])),
            pages.dead_link(),
            pages.out_of_tries(),
            pages.ask(),
            pages.ask_again(StatusCode::UNPROCESSABLE_ENTITY),
            pages.ask_here(),
            pages.sent(),
            pages.try_again(Button::Open(PageId::new([7; 16]))),
            pages.try_again(Button::Fresh),
            pages.try_again(Button::ByEmail),
            pages.lead_unusable(),
        ]
    }

    #[test]
    fn every_page_is_complete_in_every_language_and_runs_no_script_and_loads_nothing() {
        let portal = "https://apply.example.com/home".parse().unwrap();
        for language in Language::ALL {
            for page in all(&pages(&portal, language)) {
                let html = page.body();
                assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{html}");
                assert!(html.contains("name=\"viewport\"") && html.contains("Rao &#38; &#60;Sons&#62;"), "{html}");
                for forbidden in ["<script", "src=", "href=", "http:", "https:", "onclick", "<Sons>"] {
                    assert!(!html.contains(forbidden), "{forbidden}: {html}");
                }
                let policy = page.headers()["content-security-policy"].to_str().unwrap();
                assert!(policy.ends_with("form-action 'self' https://apply.example.com"), "{policy}");
                assert_eq!(page.headers()["cache-control"], "no-store");
                assert_eq!(page.headers()["referrer-policy"], "no-referrer");
                assert_eq!(page.headers()["x-robots-tag"], "noindex");
            }
        }
    }

    #[test]
    fn a_page_has_one_button_or_none() {
        let portal = "https://apply.example.com/home".parse().unwrap();
        let english = pages(&portal, Language::English);
        let buttons: Vec<_> = all(&english).iter().map(|page| page.body().matches("<button").count()).collect();
        assert_eq!(buttons, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
        let page = PageId::new([7; 16]);
        let form =
            format!("<input type=\"hidden\" name=\"page\" value=\"{page}\">\n<button>Open my application</button>");
        assert!(english.open(page).body().contains(&form), "{}", english.open(page).body());
        assert!(english.try_again(Button::Open(page)).body().contains(&form));
        assert!(
            english.dead_link().body().contains("<button name=\"fresh\" value=\"yes\">Mail me a fresh link</button>")
        );
        assert!(english.ask_again(StatusCode::BAD_REQUEST).body().contains("aria-describedby=\"fault\""));
    }
}
