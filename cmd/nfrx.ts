import { Broker } from "../src/broker/broker.ts";
import { examineBroker } from "../src/broker/doctor.ts";
import { serveBroker } from "../src/broker/main.ts";
import { chooseModules } from "../src/broker/plugins.ts";
import { runDemo } from "../src/demo/demo.ts";
import { catchStrays, onStopSignal } from "../src/lib/process.ts";
import { openTracing } from "../src/lib/tracing.ts";
import { main } from "./main.ts";
import { knownModules } from "./modules.ts";
import { nfrx } from "./programs.ts";

await main(nfrx, {
  logging: values => values,
  examine: ({ values, configFile }) => examineBroker({ config: configFile, values: values.broker }),
  run: async ({ values, command, log, droppedLogs }) => {
    const known = knownModules(values);
    if (command === "demo") return runDemo({ values: values.broker, modules: known, log, onSignal: onStopSignal });
    const modules = chooseModules(values.broker.plugins, known, ["mcp"], log);
    if (values.broker.redisAddr !== undefined) log.warn({}, "REDIS_ADDR is not used yet: this broker stands alone");
    const { plugins } = values.broker;
    const relays = plugins.includes("*") || plugins.includes("mcp") ? values.mcp : undefined;
    const tracing = await openTracing(values.traces, log);
    const broker = Broker.start({ values: values.broker, modules, relays, log, droppedLogs, tracing });
    catchStrays(log, () => broker.metrics.unhandled());
    const code = await serveBroker(broker, values.broker, log, onStopSignal);
    await tracing?.close();
    return code;
  },
});
