import { Broker } from "../src/broker/broker.ts";
import { chooseModules } from "../src/broker/choose-modules.ts";
import { brokerTrouble, examineBroker } from "../src/broker/doctor.ts";
import { serveBroker } from "../src/broker/main.ts";
import { runDemo } from "../src/demo/demo.ts";
import { installUnhandledHandlers, onStopSignal } from "../src/lib/process.ts";
import { openTracing } from "../src/lib/tracing.ts";
import { main } from "./main.ts";
import { builtIn } from "./modules.ts";
import { isOperatorCommand, openControl, openPeople, runOperatorCommand } from "./operator.ts";
import { isAgent, runPluginAgent } from "./plugin-agent.ts";
import { withPlugins } from "./with-plugins.ts";

if (isOperatorCommand(process.argv)) await runOperatorCommand(process.argv);
if (isAgent(process.argv)) await runPluginAgent(process.argv);
const { program, plugins } = await withPlugins();

await main(program, {
  logging: values => values,
  examine: ({ values, configFile }) => examineBroker({ config: configFile, values: values.broker }),
  health: ({ broker }) => brokerTrouble(broker),
  run: async ({ values, command, log, droppedLogs }) => {
    const configured = builtIn.map(module => module.configure(values[module.id] ?? {}));
    if (command === "demo") return runDemo({ values: values.broker, modules: configured, log, onSignal: onStopSignal });
    if (values.broker.redisAddr !== undefined) log.warn({}, "REDIS_ADDR has no effect yet: brokers do not share state");
    const chosen = chooseModules(values.broker.plugins, builtIn, log).map(({ id }) => id);
    const modules = [
      ...configured.filter(({ id }) => chosen.includes(id)),
      ...plugins.map(({ module, file }) => ({ ...module.configure(values[module.id] ?? {}), file })),
    ];
    const tracing = openTracing(values.traces, log);
    const people = await openPeople(values.broker, log);
    const options = { values: values.broker, modules, log, droppedLogs, declared: program, tracing, people };
    const broker = Broker.start(options);
    installUnhandledHandlers(log, () => broker.metrics.unhandled());
    const control = await openControl(broker, values.broker, log);
    const code = await serveBroker(broker, values.broker, log, onStopSignal);
    await control?.close();
    await people.close();
    await tracing?.close();
    return code;
  },
});
