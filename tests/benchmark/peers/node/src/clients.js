// The AWS clients of the peers: one of each in a process, with connections that stay open.
// AWS_ENDPOINT_URL is read by the SDK itself, and NODE_EXTRA_CA_CERTS by Node.

import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";

const agent = { keepAlive: true, maxSockets: 50 };

export const settings = {
  maxAttempts: 3,
  requestHandler: {
    connectionTimeout: 2_000,
    requestTimeout: 5_000,
    httpAgent: new HttpAgent(agent),
    httpsAgent: new HttpsAgent(agent),
  },
};
