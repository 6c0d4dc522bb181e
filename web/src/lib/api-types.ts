// SPDX-License-Identifier: Apache-2.0
// Made by `npm run types` from /api/v1/openapi.json.
export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        ArchiveRequest: {
            ids: components["schemas"]["PictureIds"];
            /** @default true */
            metadata: boolean;
        };
        BulkChange: {
            ids: components["schemas"]["PictureIds"];
            add_tags?: components["schemas"]["Tags"];
            remove_tags?: components["schemas"]["Tags"];
            rating?: number;
            deleted?: boolean;
        };
        Capabilities: {
            version: string;
            fields: {
                name: string;
                /** @enum {string} */
                kind: "text" | "model" | "picture" | "boolean" | "integer" | "seed" | "number" | "size" | "integers" | "numbers" | "loras" | "texts";
                help: string;
                /** @description of a request without the field; null: none, or what the model or chance decides */
                default: number | string | boolean | null;
                least?: number;
                most?: number;
                choices?: string[];
            }[];
            limits: {
                pixels: number;
                count: number;
                steps: number;
                body_bytes: number;
            };
            formats: string[];
            styles: string[];
            /** @description what may stand between two double underscores in a prompt */
            wildcards: string[];
        };
        Changed: {
            changed: number;
        };
        Choice: {
            /** @description what a request takes */
            name: string;
            /** @description for people */
            label: string;
            help?: string;
        };
        Document: Record<string, never>;
        Error: {
            error: {
                /** @description what kind of problem it is, for programs */
                code: string;
                /** @description the field of the request; may be empty */
                where: string;
                /** @description what is wrong */
                message: string;
                /** @description what to do about it; may be empty */
                hint: string;
            };
        };
        Input: {
            /** @description what init_image and mask of a request take */
            id: string;
            width: number;
            height: number;
        };
        Job: {
            id: string;
            /** @enum {string} */
            state: "queued" | "running" | "done" | "failed" | "cancelled";
            paused: boolean;
            priority: number;
            /** @description in the queue, from 1; 0: it does not wait */
            place: number;
            /** @description how often it was begun */
            attempt: number;
            request: components["schemas"]["Request"];
            progress: {
                /** @enum {string} */
                stage: "" | "load" | "denoise" | "decode";
                done: number;
                /** @description steps, or pictures while decoding */
                total: number;
            };
            /** @description until the job is done; null: not known yet */
            eta_seconds: number | null;
            error: components["schemas"]["JobError"] | null;
            /** @description what was asked for and not done, or done otherwise */
            warnings: string[];
            /** @description ids, in order */
            pictures: string[];
            /** Format: date-time */
            created: string;
            /** Format: date-time */
            started: string | null;
            /** Format: date-time */
            ended: string | null;
            origin: {
                /** @description native, sdapi or openai */
                api: string;
            };
        };
        JobChange: {
            priority?: number;
            /** @description id of the waiting job to be put before; empty: to the end */
            before?: string;
        };
        JobError: {
            code: string;
            where: string;
            message: string;
            hint: string;
        };
        JobList: {
            jobs: components["schemas"]["Job"][];
        };
        Model: {
            /** @description what a request takes */
            name: string;
            /** @description checkpoint, vae, lora, textual inversion, … */
            kind: string;
            family: string;
            title: string;
            bytes: number;
            /** @description null: not known yet */
            sha256: string | null;
            /** @description as the file says */
            licence: string | null;
            /** @description in memory */
            resident: boolean;
            can_run: boolean;
            default_width: number;
            default_height: number;
            /** @description what a request has that does not say it; null: it does not run */
            defaults: {
                steps: number;
                guidance_scale: number;
                width: number;
                height: number;
            } | null;
        };
        ModelList: {
            models: components["schemas"]["Model"][];
        };
        NewJob: {
            request: components["schemas"]["Request"];
            /**
             * @description the higher first; above 0 is for the role manage
             * @default 0
             */
            priority: number;
        };
        NewSession: {
            /** @description of limn keys add */
            key: string;
        };
        Picture: {
            /** @description SHA-256 of the file */
            id: string;
            job: string;
            /** @description in the job, from 0 */
            index: number;
            format: string;
            width: number;
            height: number;
            bytes: number;
            tags: string[];
            /** @description 0: none */
            rating: number;
            /** Format: date-time */
            created: string;
            /**
             * Format: date-time
             * @description in the bin since then
             */
            deleted: string | null;
            prompt: string;
            negative_prompt: string;
            /** @description a whole number of 64 bits */
            seed: string;
            model: string;
            /** @description all that the picture says of how it was made */
            record: Record<string, never>;
            request: components["schemas"]["Request"];
        };
        PictureChange: {
            tags?: components["schemas"]["Tags"];
            rating?: number;
            deleted?: boolean;
        };
        PictureIds: string[];
        PictureList: {
            pictures: components["schemas"]["Picture"][];
            /** @description of all pages */
            total: number;
        };
        Queue: {
            paused: boolean;
            counts: {
                queued: number;
                running: number;
                done: number;
                failed: number;
                cancelled: number;
            };
        };
        ReadInput: {
            width: number;
            height: number;
            request: components["schemas"]["Request"];
            /** @description what is as it was, field by field */
            honoured: string[];
            /** @description what cannot be done as the picture says, and why */
            problems: string[];
            /** @description A1111's text, where the picture has one */
            infotext: string;
            /** @description that made the picture; empty: it does not say */
            program: string;
            /** @description the id of the picture as an input */
            input: string;
        };
        Request: {
            /** @description what to draw, in words */
            prompt?: string;
            /** @description what to keep out (needs guidance_scale above 1) */
            negative_prompt?: string;
            /** @description XL models: words for the second text encoder (default: the prompt) */
            prompt_2?: string;
            /** @description XL models: likewise for the negative prompt */
            negative_prompt_2?: string;
            /** @description a model's name, as GET /api/v1/models gives it (default: the embedded model) */
            model?: string;
            /** @description a VAE's name, likewise (default: the model's) */
            vae?: string;
            /** @description name of a VAE that previews are decoded with (default: an estimate of the colours) */
            preview_vae?: string;
            /** @description LoRAs to add: "NAME" or "NAME:WEIGHT" (default weight: 1) */
            lora?: string[];
            /** @description XL models: name of a model that takes over for the last steps */
            refiner?: string;
            /** @description share of the noise levels after which the refiner takes over, 0 to 1 (default: 0.8) */
            refiner_start?: number;
            /** @description pixels, a multiple of 8 (default: the model's own size) */
            width?: number;
            /** @description pixels, a multiple of 8 (default: the model's own size) */
            height?: number;
            /** @description denoising steps (default: the model's, or 50) */
            steps?: number;
            /** @description how strictly to follow the prompt; 1 and less: guidance off (default: the model's, or 7.5) */
            guidance_scale?: number;
            /** @description 0 to 1: keep the contrast of the unguided picture, against burnt colours (default: 0) */
            guidance_rescale?: number;
            /** @description share of the steps before guidance begins, 0 to 1 (default: 0) */
            guidance_start?: number;
            /** @description share of the steps after which guidance ends, 0 to 1 (default: 1) */
            guidance_end?: number;
            /** @description noise level (sigma) below which every other step goes unguided, to save time (default: 0) */
            skip_unconditional?: number;
            /** @description models that edit by instruction: how closely to keep to the picture (default: 1.5) */
            image_guidance_scale?: number;
            /** @description perturbed-attention guidance; 3 is usual (default: 0, off) */
            pag_scale?: number;
            /** @description how fast pag_scale falls over the timesteps (default: 0) */
            pag_adaptive_scale?: number;
            /** @description blocks that pag_scale perturbs, by commas: mid, down, up, down.N, up.N (default: mid) */
            pag_blocks?: string;
            /** @description self-attention guidance; 0.75 is usual (default: 0, off) */
            sag_scale?: number;
            /** @description S1,S2,B1,B2: FreeU's factors, such as 0.9,0.2,1.5,1.6 (default: off) */
            freeu?: string;
            /** @description do the U-Net's deep layers at every Nth call only (DeepCache); changes the picture (default: 1, off) */
            step_cache?: number;
            /** @description how deep the calls between go: the last layer on the way down (default: 0, the first) */
            step_cache_branch?: number;
            /** @description share of the tokens that self-attention takes as one with others, 0 to 0.75 (ToMe); changes the picture (default: 0, off) */
            token_merging?: number;
            /**
             * @description step rule (default: the model's)
             * @example ddim
             * @example ddpm
             * @example pndm
             * @example euler
             * @example euler_ancestral
             * @example heun
             * @example lms
             * @example dpmpp_2m
             * @example unipc
             * @example deis
             * @example lcm
             * @example tcd
             * @example flow_match_euler
             * @example flow_match_heun
             * @example euler_edm
             * @example k_dpmpp_2m
             * @example dpm2
             * @example dpm2_ancestral
             * @example dpmpp_2s_ancestral
             * @example dpmpp_sde
             * @example dpmpp_2m_sde
             * @example dpmpp_2m_sde_heun
             * @example dpmpp_3m_sde
             * @example dpm_fast
             * @example dpm_adaptive
             * @example restart
             * @example k_lcm
             * @example euler_cfg_pp
             * @example euler_ancestral_cfg_pp
             * @example dpmpp_2m_cfg_pp
             * @example dpmpp_2s_ancestral_cfg_pp
             */
            scheduler?: string;
            /**
             * @description spacing of the noise levels (default: the model's)
             * @example karras
             * @example exponential
             * @example beta
             * @example lu
             * @example linspace
             * @example leading
             * @example trailing
             * @example normal
             * @example sgm_uniform
             * @example simple
             * @example ddim_uniform
             * @example k_karras
             * @example k_exponential
             * @example polyexponential
             * @example k_beta
             * @example beta_linear
             * @example kl_optimal
             * @example kl_optimal_a1111
             * @example align_your_steps
             * @example align_your_steps_xl
             * @example gits
             * @example gits_xl
             * @example turbo
             * @example zero_snr
             */
            schedule?: string;
            /** @description least noise level of karras, exponential and the like (default: the model's) */
            sigma_min?: number;
            /** @description greatest noise level of the same (default: the model's) */
            sigma_max?: number;
            /** @description how karras and polyexponential crowd towards the least level (default: 7 and 1) */
            rho?: number;
            /** @description noise levels of a run, by commas, falling, in the place of steps and schedule; the final 0 may be left out */
            sigmas?: number[];
            /**
             * @description precision of the model's noise levels; A1111 before 1.7 had float16 (default: float32)
             * @enum {string}
             */
            noise_levels?: "float32" | "float16";
            /**
             * @description what the model predicts, where its file does not say (default: the model's)
             * @enum {string}
             */
            prediction?: "epsilon" | "v_prediction" | "sample";
            /** @description share of fresh noise, 0 to 1 (default: 0 for ddim and tcd, 1 for ancestral and SDE samplers) */
            eta?: number;
            /** @description of the first picture; picture i has seed + i (default: drawn when the job is accepted) */
            seed?: number | string;
            /** @description number of pictures (default: 1) */
            count?: number;
            /** @description where one generator draws for a batch (ComfyUI): number of the first picture to make (default: 0) */
            batch_index?: number;
            /** @description pictures of that batch (default: count) */
            batch_size?: number;
            /** @description layers of the text encoder to leave out, as diffusers counts; with another compat, as that one does (default: 0) */
            clip_skip?: number;
            /** @description XL models: WIDTHxHEIGHT the training picture is said to have had (default: the picture's) */
            original_size?: number[];
            /** @description XL models: WIDTHxHEIGHT that is said to be wanted (default: the picture's) */
            target_size?: number[];
            /** @description XL models: TOP,LEFT of the crop that is said to have been made (default: 0,0) */
            crop?: number[];
            /** @description XL models: original_size of the negative prompt */
            negative_original_size?: number[];
            /** @description XL models: target_size of the negative prompt */
            negative_target_size?: number[];
            /** @description XL models: crop of the negative prompt */
            negative_crop?: number[];
            /** @description XL refiner: score that is said to be wanted (default: 6) */
            aesthetic_score?: number;
            /** @description XL refiner: score of the negative prompt (default: 2.5) */
            negative_aesthetic_score?: number;
            /** @description picture to start from, to repaint (with mask) or to edit: the id of an input, or a data: address */
            init_image?: string;
            /** @description how far to change init_image: 0 keeps it, 1 forgets it (default: 0.8) */
            strength?: number;
            /** @description picture of init_image's size: white is repainted, black is kept to the bit; as init_image */
            mask?: string;
            /**
             * @description what grey in the mask means: nothing (hard), or a share of the new picture or of the steps (default: hard)
             * @enum {string}
             */
            mask_mode?: "hard" | "soft" | "differential";
            /** @description pixels over which what is new fades in, inside the mask (default: 4) */
            mask_blur?: number;
            /**
             * @description what is under the mask at the start (default: original)
             * @enum {string}
             */
            masked_content?: "original" | "fill" | "noise" | "nothing";
            /**
             * @description whole picture, or the masked part alone, worked on at width × height (default: whole)
             * @enum {string}
             */
            inpaint_area?: "whole" | "masked";
            /** @description pixels around the mask with inpaint_area masked (default: 32) */
            mask_padding?: number;
            /** @description LEFT,TOP,RIGHT,BOTTOM: pixels to add to init_image and paint */
            outpaint?: number[];
            /** @description make the picture again, larger by this factor, from the first one (default: 1, off) */
            hires_scale?: number;
            /** @description steps of that second pass (default: as steps) */
            hires_steps?: number;
            /** @description how far the second pass changes the first picture (default: 0.7) */
            hires_strength?: number;
            /**
             * @description how the first picture is enlarged (default: latent)
             * @enum {string}
             */
            hires_upscaler?: "latent" | "latent_antialiased" | "latent_bicubic" | "latent_nearest" | "lanczos";
            /**
             * @description edges that fit one another, for patterns (default: none)
             * @enum {string}
             */
            seamless?: "none" | "x" | "y" | "xy";
            /** @description pixels a side of overlapping parts that are denoised one by one, for pictures larger than memory (default: 0, off) */
            tile?: number;
            /** @description pixels that those parts overlap by, fewer than tile (default: 128, or half of tile) */
            tile_overlap?: number;
            /** @description pixels a side of overlapping parts that are decoded one by one, to save memory (default: 768 for pictures over 1024) */
            vae_tile?: number;
            /**
             * @description whose conventions to follow (default: diffusers)
             * @enum {string}
             */
            compat?: "diffusers" | "a1111" | "comfy";
            /**
             * @description language of the prompts (default: as compat has it; diffusers: plain)
             * @enum {string}
             */
            prompt_syntax?: "plain" | "a1111" | "comfy" | "compel";
            /** @description name of the server's file of styles (default: that one, where there are styles) */
            styles_file?: string;
            /** @description a style of styles_file to add to the prompts; may be given again */
            style?: string[];
            /** @description name of the server's folder of wildcards, or "" for none (default: that one, where a prompt names one of them) */
            wildcards?: string;
            /**
             * @description how weights of A1111's language count (default: original)
             * @enum {string}
             */
            emphasis?: "original" | "no_norm" | "ignore" | "none";
            /**
             * @description how [a:b:0.5] of A1111's language counts: a number with a point is a share; before_1.6: one below 1 (default: current)
             * @enum {string}
             */
            prompt_editing?: "current" | "before_1.6";
            /**
             * @description who makes random numbers (default: as compat has it; diffusers: cpu)
             * @enum {string}
             */
            noise?: "cpu" | "philox" | "shared";
            /** @description a second seed whose noise is mixed in; picture i has variation_seed + i (default: 0) */
            variation_seed?: number | string;
            /** @description how much of it, 0 to 1 (default: 0) */
            variation_strength?: number;
            /** @description WIDTHxHEIGHT at which the seed's noise was drawn first, to keep its composition (A1111) */
            seed_resize?: number[];
            /** @description added to the seeds for the sampler's own noise (A1111's ENSD; default: 0) */
            eta_noise_seed_delta?: number | string;
            /** @description cpu, cuda or cuda:N (default: cpu) */
            device?: string;
            /**
             * @description arithmetic (default: float32); auto is the fastest that the machine has, and says which
             * @enum {string}
             */
            dtype?: "auto" | "float32" | "bfloat16" | "float16";
            /**
             * @description the U-Net's weights in 8 bits, or what is multiplied with them too: faster, and the picture changes a little
             * @enum {string}
             */
            quantize?: "none" | "int8" | "int8_inputs";
            /** @description LibTorch's operations only, without limn's faster kernels for the CPU */
            plain?: boolean;
            /** @description such as 4GiB or 3500MiB: decode in tiles, the halves of guidance in turn, fewer pictures at once until it fits, or refuse (default: none) */
            memory_limit?: string;
        };
        SchedulerList: {
            schedulers: components["schemas"]["Choice"][];
            schedules: components["schemas"]["Choice"][];
        };
        TagList: {
            tags: {
                name: string;
                count: number;
            }[];
        };
        Tags: string[];
        Tokens: {
            /** @description without those of beginning and end */
            tokens: number;
            /** @description parts that the text encoder reads one by one */
            chunks: number;
            limit_per_chunk: number;
        };
        TokensRequest: {
            prompt: string;
            model?: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
