/** One nginx hop: what a plain reverse proxy costs, as the yardstick. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, until, type Way, type WayKind } from "./way.ts";

/** Null when nginx is not installed. */
export function nginxWay(dir: string): WayKind | null {
  const program = Bun.which("nginx") ?? Bun.which("/usr/sbin/nginx");
  if (program === null) return null;
  let count = 0;
  return {
    name: "nginx",
    async start(children, backendPort): Promise<Way> {
      const port = freePort();
      const prefix = join(dir, `nginx-${++count}`);
      mkdirSync(prefix);
      writeFileSync(join(prefix, "nginx.conf"), config(port, backendPort));
      const command = [program, "-p", prefix, "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"];
      const nginx = children.start("nginx", command, {});
      await until("nginx answers", [nginx], async () => (await fetch(`http://127.0.0.1:${port}/v1/models`)).ok);
      return { name: "nginx", parts: [{ name: "nginx", children: [nginx] }], target: path => ({ port, path }) };
    },
  };
}

const config = (port: number, backendPort: number): string => `
${process.getuid?.() === 0 ? "user root;" : ""}
worker_processes 1;
worker_rlimit_nofile 16000;
pid nginx.pid;
events { worker_connections 15000; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_max_body_size 0;
  keepalive_requests 100000000;
  upstream backend {
    server 127.0.0.1:${backendPort};
    keepalive 1024;
    keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=8192;
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 300s;
    }
  }
}
`;
