// A client for the LeadSquared calls that an invitation needs, over connections that stay open.
// https://apidocs.leadsquared.com/

import { SecretsProvider } from "@aws-lambda-powertools/parameters/secrets";
import { Agent, request } from "undici";

import { settings } from "./clients.js";

const {
  LEADSQUARED_API_URL,
  LEADSQUARED_KEYS_SECRET,
  LEADSQUARED_PORTAL_API_URL,
  LEADSQUARED_TENANT_AUTH_KEY_PATH,
  MAIL_SENDER,
  PORTAL_ID,
  PORTAL_URL,
} = process.env;
const TENANT_KEY_PATH = LEADSQUARED_TENANT_AUTH_KEY_PATH || "/api/AutoLogin/GenerateTenantAuthKey";
const TENANT_KEY_MS = (4 * 60 - 10) * 60 * 1000;

const dispatcher = new Agent({
  connect: { timeout: 3_000 },
  keepAliveTimeout: 15_000,
  headersTimeout: 12_000,
  bodyTimeout: 12_000,
});
const secrets = new SecretsProvider({ clientConfig: settings });
const credentials = new Map();

/** LeadSquared refused a call. */
export class Refused extends Error {
  constructor(status, { ExceptionType = "", ExceptionMessage = "" } = {}) {
    super(`${status} ${ExceptionType}`);
    const text = ExceptionMessage.toLowerCase();
    const isDuplicate = ExceptionType.toLowerCase().includes("duplicate") && text.includes("email");
    this.leadExists = text.includes("user already exists") || isDuplicate;
  }
}

/** The account's keys. Powertools keeps them for the given time. */
const keys = () => secrets.get(LEADSQUARED_KEYS_SECRET, { transform: "json", maxAge: 300 });

/** Registers a new lead as a portal user, and returns its id (https://apidocs.leadsquared.com/register/). */
export async function register(fields, password) {
  const all = [...fields, ["mx_Portal_Password", password], ["mx_Portal_Confirm_Password", password]];
  const headers = {
    authorization: await derived("/api/Access/PublicToken", { name: "PublicAuthKey" }),
    "x-lsq-registertoken": await derived("/api/Access/GetRegisterToken"),
    "x-lsq-portalid": PORTAL_ID,
  };
  const body = { RegisterOnlyNewLead: true, LeadFields: all.map(([Attribute, Value]) => ({ Attribute, Value })) };
  return (await portal("POST", "/api/Authentication/v2/Register", { headers, body })).LeadId;
}

/** The id of the lead with this address (https://apidocs.leadsquared.com/get-a-lead-by-email-id/). */
export async function leadByEmail(emailaddress) {
  const leads = await core("GET", "/v2/LeadManagement.svc/Leads.GetByEmailaddress", { query: { emailaddress } });
  return leads[0]?.ProspectID;
}

/** A link that opens the portal signed in (https://apidocs.leadsquared.com/portal-auto-login/). */
export async function directLink(leadId) {
  const authkey = await derived(TENANT_KEY_PATH, { lifetime: TENANT_KEY_MS });
  const body = { LeadId: leadId, PortalId: PORTAL_ID };
  const { AuthKey: authKey } = await portal("POST", "/api/AutoLogin/Generate", { query: { authkey }, body });
  const link = new URL(PORTAL_URL);
  for (const pair of Object.entries({ leadId, portalId: PORTAL_ID, authKey })) link.searchParams.append(...pair);
  return link.href;
}

/** Mails a lead (https://apidocs.leadsquared.com/send-an-email-to-a-lead/). */
export async function sendEmail(to, subject, html, text) {
  const body = {
    SenderType: MAIL_SENDER ? "UserEmailAddress" : "APICaller",
    ...(MAIL_SENDER && { Sender: MAIL_SENDER }),
    RecipientType: "LeadEmailAddress",
    RecipientEmailFields: "EmailAddress",
    Recipient: to,
    EmailType: "Html",
    EmailLibraryName: "",
    ContentHTML: html,
    ContentText: text,
    Subject: subject,
    IncludeEmailFooter: false,
  };
  await core("POST", "/v2/EmailMarketing.svc/SendEmailToLead", { body });
}

/** A credential that LeadSquared derives from the keys. It is kept until it expires or is refused. */
async function derived(path, { name, lifetime = Infinity } = {}) {
  const kept = credentials.get(path);
  if (kept && Date.now() < kept.until) return kept.value;
  const answer = await portal("GET", path);
  const value = name ? answer[name] : answer;
  credentials.set(path, { value, until: Date.now() + lifetime });
  return value;
}

async function portal(method, path, { headers, query, body } = {}) {
  const { accessKey, secretKey } = await keys();
  return call(method, LEADSQUARED_PORTAL_API_URL, path, headers, { accessKey, secretKey, ...query }, body);
}

async function core(method, path, { query, body } = {}) {
  const { accessKey, secretKey } = await keys();
  const headers = { "x-lsq-accesskey": accessKey, "x-lsq-secretkey": secretKey };
  return call(method, LEADSQUARED_API_URL, path, headers, query, body);
}

async function call(method, host, path, headers, query, body) {
  const response = await request(new URL(path, host), {
    method,
    query,
    dispatcher,
    headers: { ...headers, ...(body && { "content-type": "application/json" }) },
    body: body && JSON.stringify(body),
  });
  const text = await response.body.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    // A page of a gateway is no answer of LeadSquared.
  }
  if (response.statusCode === 200 && answer !== undefined && answer.Status !== "Error") return answer;
  if (response.statusCode === 401) {
    // The next attempt reads the keys again and derives new credentials.
    credentials.clear();
    secrets.clearCache();
  }
  throw new Refused(response.statusCode, answer);
}
