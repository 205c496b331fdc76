// Runs the handler that _HANDLER names against the Lambda Runtime API, as Lambda's own Node runtime does.
//
// AWS's runtime interface client for Node (`aws-lambda-ric`) compiles native code with cmake when it is installed. This
// loop needs none, so the peers install anywhere.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

import { Agent, request } from "node:http";

const { _HANDLER = "", AWS_LAMBDA_RUNTIME_API } = process.env;
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

function send(method, path, body) {
  const headers = {};
  if (body !== undefined) {
    headers["content-type"] = "application/json";
    headers["content-length"] = Buffer.byteLength(body);
  }
  return new Promise((resolve, reject) => {
    const sent = request(`http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/${path}`, { method, agent, headers });
    sent.on("error", reject).on("response", (response) => {
      const parts = [];
      response.on("error", reject).on("data", (part) => parts.push(part));
      response.on("end", () => resolve({ headers: response.headers, text: Buffer.concat(parts).toString() }));
    });
    sent.end(body);
  });
}

const failure = (error) =>
  JSON.stringify({ errorType: error?.name ?? "Error", errorMessage: String(error?.message ?? error) });

const [file, name] = _HANDLER.split(".");
let handler;
try {
  handler = (await import(`./${file}.mjs`))[name];
  if (typeof handler !== "function") throw new Error(`there is no handler ${_HANDLER}`);
} catch (error) {
  console.error(error);
  await send("POST", "init/error", failure(error));
  process.exit(1);
}

for (;;) {
  const { headers, text } = await send("GET", "invocation/next");
  const id = headers["lambda-runtime-aws-request-id"];
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"] ?? "";
  const context = {
    awsRequestId: id,
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
  try {
    const answer = await handler(JSON.parse(text), context);
    await send("POST", `invocation/${id}/response`, JSON.stringify(answer ?? null));
  } catch (error) {
    console.error(error);
    await send("POST", `invocation/${id}/error`, failure(error));
  }
}
