// What both Node workers have in common: batches with partial failures, logs and metrics.
// https://docs.powertools.aws.dev/lambda/typescript/latest/features/batch/

import { processPartialResponse, SqsFifoPartialProcessorAsync } from "@aws-lambda-powertools/batch";
import { Logger } from "@aws-lambda-powertools/logger";
import { injectLambdaContext } from "@aws-lambda-powertools/logger/middleware";
import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";
import { logMetrics } from "@aws-lambda-powertools/metrics/middleware";
import middy from "@middy/core";

import { decode } from "./invitations.js";

/** A handler that invites the person of each message, with Middy around it. */
export function workerOf(invite, before = () => {}) {
  const { METRICS_NAMESPACE = "benchmark" } = process.env;
  const logger = new Logger({ serviceName: "invitation" });
  const metrics = new Metrics({ namespace: METRICS_NAMESPACE, serviceName: "invitation" });
  const processor = new SqsFifoPartialProcessorAsync();

  const handle = async (record) => {
    const invitation = decode(record.body);
    const { id: receipt } = invitation;
    try {
      const outcome = await invite(invitation);
      metrics.addMetric("Outcomes", MetricUnit.Count, 1);
      logger.info("invitation ended", { receipt, outcome });
    } catch (error) {
      logger.error("attempt failed: the message is delivered again", error, { receipt });
      throw error;
    }
  };

  return middy()
    .use(injectLambdaContext(logger))
    .use(logMetrics(metrics))
    .handler((event, context) => {
      before(context);
      // A failed message holds back only the later messages of its own person.
      return processPartialResponse(event, handle, processor, { context, skipGroupOnError: true });
    });
}
