//! Black-box tests of the built functions, of the template they are deployed with, and of the whole in a browser.

mod runtime_api;
