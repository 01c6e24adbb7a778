/** An address to listen on. An empty host means every interface. */
export interface Address {
  readonly host: string;
  readonly port: number;
}
