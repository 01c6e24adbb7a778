// The routes of the jobs queue, as they are declared; routes.ts answers them.
import type { Call as HttpCall, HttpMethod, Operation, Route } from "../../modules/route.ts";
import { peerOf } from "../proxy/pipeline.ts";
import type { Call, JobRoutes } from "./routes.ts";

export function jobRoutes(jobs: JobRoutes): Route[] {
  const route = (
    method: HttpMethod,
    path: string,
    auth: "api" | "client",
    operation: Operation,
    answer: (call: Call) => Promise<Response>,
  ): Route => ({
    method,
    path: `/api/jobs${path}`,
    tag: "jobs",
    auth,
    ownCheck: true,
    errors: "plain",
    operation,
    answer: call => answer(jobCall(call)),
  });
  return [
    route("POST", "", "api", CREATE, call => jobs.create(call)),
    route("GET", "", "api", LIST, call => jobs.list(call)),
    route("POST", "/claim", "client", CLAIM, call => jobs.claim(call)),
    route("GET", "/stream", "client", STREAM, call => jobs.stream(call)),
    route("GET", "/:id", "api", GET, call => jobs.get(call)),
    route("GET", "/:id/events", "api", EVENTS, call => jobs.events(call)),
    route("POST", "/:id/cancel", "api", CANCEL, call => jobs.cancel(call)),
    route("POST", "/:id/payload", "client", PAYLOAD, call => jobs.payload(call)),
    route("POST", "/:id/result", "client", RESULT, call => jobs.result(call)),
    route("POST", "/:id/status", "client", STATUS, call => jobs.status(call)),
    route("POST", "/:id/heartbeat", "client", HEARTBEAT, call => jobs.heartbeat(call)),
  ];
}

function jobCall({ request, server, params, access }: HttpCall): Call {
  return {
    request,
    access,
    peer: () => peerOf(request, server),
    patience: () => server.timeout(request, 0),
    id: params["id"] ?? "",
  };
}

const CREATE: Operation = { summary: "Create a job", responses: { 200: { description: "The job's id." } } };
const LIST: Operation = { summary: "List one's jobs", responses: { 200: { description: "The newest jobs." } } };
const CLAIM: Operation = { summary: "Claim a job", responses: { 200: { description: "A job." } } };
const STREAM: Operation = { summary: "Be given jobs as they come", responses: { 200: { description: "Events." } } };
const GET: Operation = { summary: "Get a job", responses: { 200: { description: "The job." } } };
const EVENTS: Operation = { summary: "Follow a job", responses: { 200: { description: "Events." } } };
const CANCEL: Operation = { summary: "Cancel a job", responses: { 200: { description: "Its status." } } };
const PAYLOAD: Operation = { summary: "Ask for a payload", responses: { 200: { description: "A channel." } } };
const RESULT: Operation = { summary: "Offer a result", responses: { 200: { description: "A channel." } } };
const STATUS: Operation = { summary: "Report on a job", responses: { 200: { description: "Its status." } } };
const HEARTBEAT: Operation = { summary: "Keep a job", responses: { 200: { description: "Its lease." } } };
