// SPDX-License-Identifier: Apache-2.0
// What the native API (/api/v1) says and hears, by short names. The server's OpenAPI document has the last word.
import type { components } from "./api-types";

type Schemas = components["schemas"];

/** What a request asks for. Pictures that other servers made may ask for more than this one knows. */
export type Settings = Schemas["Request"] & Record<string, unknown>;

export type Job = Schemas["Job"];
export type JobState = Job["state"];
export type Problem = Schemas["JobError"];
export type Queue = Schemas["Queue"];

export type Picture = Schemas["Picture"];
export type PicturePage = Schemas["PictureList"];
export type PictureChange = Schemas["PictureChange"];
export type BulkChange = Omit<Schemas["BulkChange"], "ids">;
export type Tag = Schemas["TagList"]["tags"][number];

export interface PictureQuery {
  q?: string;
  tag?: string;
  rating?: number; // at least
  job?: string;
  deleted?: boolean;
  before?: string;
  limit?: number;
}

export type Input = Schemas["Input"];
/** What the metadata of a picture says. */
export type Reading = Schemas["ReadInput"];

export type Model = Schemas["Model"];
export type Schedulers = Schemas["SchedulerList"];
export type Choice = Schemas["Choice"];
export type Capabilities = Schemas["Capabilities"];
/** `words_unknown`: a server may know that its model has never met a word. */
export type Tokens = Schemas["Tokens"] & { words_unknown?: string[] };
