// The intake as a team with Middy and Powertools for AWS Lambda writes it: a form becomes a message of the queue.
// https://middy.js.org/docs/ and https://docs.powertools.aws.dev/lambda/typescript/latest/

import { Logger } from "@aws-lambda-powertools/logger";
import { injectLambdaContext } from "@aws-lambda-powertools/logger/middleware";
import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";
import { logMetrics } from "@aws-lambda-powertools/metrics/middleware";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import middy from "@middy/core";
import httpHeaderNormalizer from "@middy/http-header-normalizer";
import httpJsonBodyParser from "@middy/http-json-body-parser";
import httpUrlencodeBodyParser from "@middy/http-urlencode-body-parser";

import { decide } from "./caps.js";
import { settings } from "./clients.js";
import { bodyLimit, Problem, read } from "./form.js";

const { INVITATIONS_QUEUE_URL, METRICS_NAMESPACE = "benchmark", THANK_YOU_URL } = process.env;
const logger = new Logger({ serviceName: "application-form" });
const metrics = new Metrics({ namespace: METRICS_NAMESPACE, serviceName: "application-form" });
// Otherwise the client sends to the host in the queue's URL, whatever AWS_ENDPOINT_URL says.
const sqs = new SQSClient({ ...settings, useQueueUrlAsEndpoint: false });

async function accept(event) {
  const application = read(event);
  const { id: receipt, person, payload, message } = application;
  const decision = await decide(application, event.requestContext.http.sourceIp);
  switch (decision) {
    case "too-many":
      throw new Problem(429, "Too many attempts", "Too many came from your network. Please send it again later.");
    case "other-payload":
      throw new Problem(422, "The Idempotency-Key was used before", "Send the form with a new key.");
    case "held":
      metrics.addMetric("Outcomes", MetricUnit.Count, 1);
      logger.warn("held an application that is over a cap", { receipt, source: "form" });
      break;
    default:
      await sqs.send(
        new SendMessageCommand({
          QueueUrl: INVITATIONS_QUEUE_URL,
          MessageGroupId: person,
          MessageDeduplicationId: `${receipt}-${payload.slice(0, 16)}`,
          MessageBody: message,
        }),
      );
      metrics.addMetric("Accepted", MetricUnit.Count, 1);
      logger.info("invitation accepted", { receipt, source: "form" });
  }
  return accepted(event, receipt);
}

/** The same answer for every applicant: it does not show whether LeadSquared knows the person. */
function accepted(event, receipt) {
  if (!event.headers.accept?.includes("text/html")) {
    return {
      statusCode: 202,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ status: "accepted", receipt }),
    };
  }
  if (THANK_YOU_URL) return { statusCode: 303, headers: { location: THANK_YOU_URL } };
  const body = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Thank you for applying</title></head>
<body><h1>Thank you for applying</h1>
<p>We are sending you an e-mail with a link that opens your application. It can take a few minutes.</p>
<p>Your receipt: ${receipt}</p></body></html>`;
  return { statusCode: 202, headers: { "content-type": "text/html; charset=utf-8" }, body };
}

/** Turns errors into problem documents (https://www.rfc-editor.org/rfc/rfc9457). */
const problems = () => ({
  onError: (request) => {
    let { error } = request;
    if (!(error instanceof Problem)) {
      if (error.statusCode && error.expose) {
        error = new Problem(error.statusCode, "The request cannot be read", "Send a form or a JSON object.");
      } else {
        logger.error("not stored: the sender is asked to send it again", error);
        metrics.addMetric("NotStored", MetricUnit.Count, 1);
        error = new Problem(503, "Please try again in a moment", "Your application was not stored.");
      }
    }
    const { status, title, detail, more } = error;
    const headers = { "content-type": "application/problem+json" };
    if (status === 429 || status === 503) headers["retry-after"] = "5";
    request.response = {
      statusCode: status,
      headers,
      body: JSON.stringify({ status, title, detail, ...more }),
    };
  },
});

export const handler = middy()
  .use(injectLambdaContext(logger))
  .use(logMetrics(metrics))
  .use(problems())
  .use(httpHeaderNormalizer())
  .use(bodyLimit())
  .use(httpUrlencodeBodyParser({ disableContentTypeError: true }))
  .use(httpJsonBodyParser({ disableContentTypeError: true }))
  .handler(accept);
