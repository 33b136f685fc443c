/**
 * The protocol's types; what they mean stands in `experiments/studios/protocol.py`.
 *
 * @typedef {string | number | boolean | (string | number)[]} Value
 * @typedef {Record<string, Value | null>} Dials
 * @typedef {"waiting" | "starting" | "running" | "paused" | "stopped" | "finished" | "failed"} Status
 *
 * @typedef {object} NewRun
 * @property {string} content
 * @property {string[]} styles
 * @property {Dials} dials
 * @property {string | null} regions
 * @property {string[]} style_regions
 * @property {string} [name]
 * @property {string} [first_look]
 *
 * @typedef {object} Moved
 * @property {Dials} dials
 * @property {string[] | null} [styles]
 * @property {string | null} [regions]
 * @property {string[] | null} [style_regions]
 *
 * @typedef {object} NewSweep
 * @property {string} content
 * @property {string[]} styles
 * @property {Dials} dials
 * @property {string | null} regions
 * @property {string[]} style_regions
 * @property {string} [name]
 * @property {Record<string, Value[]>} axes
 * @property {boolean} each_style
 *
 * @typedef {object} Dial
 * @property {string} name
 * @property {string} label
 * @property {string} help
 * @property {string} group
 * @property {"number" | "whole" | "choice" | "switch" | "numbers" | "text"} kind
 * @property {"at once" | "stage"} acts
 * @property {number | null} least
 * @property {number | null} most
 * @property {[number, number] | null} slider
 * @property {"linear" | "log" | "power"} scale
 * @property {string[]} choices
 * @property {boolean} simple
 *
 * @typedef {object} StoredImage
 * @property {string} id
 * @property {string} name
 * @property {number} width
 * @property {number} height
 * @property {[string, number][]} colours
 *
 * @typedef {object} Studio
 * @property {string} version
 * @property {Dial[]} dials
 * @property {string[]} networks
 * @property {Record<string, string>} missing
 * @property {Record<string, string[]>} presets
 * @property {{ contents: StoredImage[], styles: StoredImage[] }} samples
 * @property {number} most_bytes
 * @property {number} most_pixels
 * @property {string[]} first_looks
 *
 * @typedef {object} Losses
 * @property {string} run
 * @property {number} begin
 * @property {number[]} step
 * @property {(number | null)[]} loss
 * @property {Record<string, (number | null)[]>} terms
 *
 * @typedef {object} Images
 * @property {string} content
 * @property {string[]} styles
 * @property {string | null} regions
 * @property {string[]} style_regions
 *
 * @typedef {object} Message
 * @property {number} number
 * @property {number} time
 * @property {"note" | "error"} level
 * @property {string} text
 * @property {string} run
 *
 * @typedef {object} Mark
 * @property {number} number
 * @property {number} stage
 * @property {number} step
 * @property {Dials} dials
 * @property {[number, Dials][]} moves
 *
 * @typedef {object} Stage
 * @property {Dials} begun
 * @property {Images} images
 * @property {number | null} coarsest
 * @property {[number, Dials][]} moves
 *
 * @typedef {object} Live
 * @property {string} id
 * @property {number} stage
 * @property {number} step
 * @property {number} steps
 * @property {number} scale
 * @property {number[]} sides
 * @property {number | null} seconds_left
 * @property {number | null} seconds_per_step
 * @property {number} frame
 * @property {number} frame_step
 * @property {number | null} loss
 * @property {Record<string, number>} terms
 * @property {Record<string, number>} weights
 * @property {number} compilations
 * @property {string[]} moved
 * @property {string} doing
 *
 * @typedef {object} Entry
 * @property {string} id
 * @property {"picture" | "sweep"} kind
 * @property {string} name
 * @property {number} created
 * @property {Status} status
 * @property {Images} images
 * @property {Dials} dials
 * @property {Stage[]} stages
 * @property {number} step
 * @property {number} steps
 * @property {Mark[]} marks
 * @property {number | null} from_mark
 * @property {string} message
 * @property {boolean} pictures
 * @property {Record<string, Value[]>} axes
 * @property {boolean} each_style
 * @property {string} first_look
 * @property {string} command
 * @property {boolean} exact
 *
 * @typedef {object} State
 * @property {number} version
 * @property {string} worker
 * @property {string} device
 * @property {Live | null} run
 * @property {Entry | null} entry
 * @property {string[]} waiting
 * @property {number} gallery
 * @property {Message[]} messages
 */

export {};
