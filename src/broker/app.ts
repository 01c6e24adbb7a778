// The map: every route of the broker.
import type { Route } from "../modules/route.ts";
import { type TicketRoutesOptions, ticketRoutes } from "./http/access/ticket-routes.ts";
import { documentationRoutes } from "./http/document/documentation.ts";
import type { Tag } from "./http/document/openapi.ts";
import type { WebSocketServer } from "./http/web-socket.ts";
import { jobRoutes } from "./jobs/http/routes.ts";
import type { Jobs } from "./jobs/jobs.ts";
import { ownRoutes } from "./modules.ts";
import { dashboardRoutes } from "./observe/dashboard/routes.ts";
import { healthRoutes } from "./observe/health-routes.ts";
import type { BrokerMetrics } from "./observe/metrics.ts";
import { type DeclaredOptions, pluginRoutes } from "./observe/plugin-routes.ts";
import { metricsRoute, stateRoutes } from "./observe/routes.ts";
import type { ServedModule, StateSources } from "./observe/state.ts";
import type { StateStreams } from "./observe/state-streams.ts";
import type { Operator } from "./operator/operator.ts";
import { operatorRoutes } from "./operator/routes.ts";
import { type PeopleRoutesOptions, peopleRoutes } from "./people/routes.ts";
import { type Mounted, workerRoutes } from "./proxy/routes.ts";
import type { Relays } from "./relay/relays.ts";
import { relayRoutes } from "./relay/routes.ts";
import { transferRoutes } from "./transfer/routes.ts";
import type { Transfers } from "./transfer/transfers.ts";

/** The parts of the broker that serve the routes. */
export interface Services {
  modules: readonly ServedModule[];
  mounted: readonly Mounted[];
  relays: Relays | undefined;
  jobs: Jobs;
  transfers: Transfers;
  metrics: BrokerMetrics;
  sources: StateSources;
  stateStreams: StateStreams;
  ticketRoutes: TicketRoutesOptions;
  operator: Operator;
  /** Where the options are declared. */
  declared: DeclaredOptions | undefined;
  /** False when /metrics has a listener of its own. */
  publicMetrics: boolean;
  /** /metrics asks for no key. */
  openMetrics: boolean;
  /** Keys, usage and the audit. */
  people: PeopleRoutesOptions | undefined;
  /** The server a request arrived at. */
  server: () => WebSocketServer;
}

/** Every public route. */
export function routesOf(services: Services): Route[] {
  const { modules, mounted, relays, jobs, transfers, metrics, sources, stateStreams, publicMetrics, server } = services;
  const { operator, declared } = services;
  const routes: Route[] = [
    ...healthRoutes(sources),
    ...(publicMetrics ? [metricsRoute(metrics, services.openMetrics)] : []),
    ...dashboardRoutes(),
    ...stateRoutes(stateStreams),
    ...ticketRoutes(services.ticketRoutes),
    ...pluginRoutes({ sources, declared }),
    ...operatorRoutes(operator),
    ...(services.people === undefined ? [] : peopleRoutes(services.people)),
    ...mounted.flatMap(module => workerRoutes(module, server)),
    ...(relays === undefined ? [] : relayRoutes(relays, server)),
    ...jobRoutes(jobs),
    ...transferRoutes(transfers),
    ...documentationRoutes(() => all, tagsOf(modules)),
  ];
  const all = [...routes, ...ownRoutes(modules, routes)];
  return all;
}

/** The parts of the API, in the order in which its readers want them. */
export function tagsOf(modules: readonly ServedModule[]): Tag[] {
  return [
    ...modules.map(({ configured }) => ({ name: configured.id, description: configured.summary })),
    { name: "jobs", description: "Job queue between clients and job workers; both connect outbound." },
    { name: "transfer", description: "One-time channels that stream the body of one request to another." },
    { name: "state", description: "State, for operators and dashboards." },
    { name: "keys", description: "Callers' own keys and usage." },
    { name: "admin", description: "Operator actions." },
    { name: "health", description: "Health checks for load balancers and monitors." },
    { name: "documentation", description: "This OpenAPI document and its viewer." },
  ];
}
