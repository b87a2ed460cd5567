/**
 * An expected end of the work without success. Its message is the one sentence that the party's user reads, so it names
 * what is wrong and where, and never a key, a cell or a secret.
 */
export class Failure extends Error {
  /**
   * @param {string} message one sentence, without a full stop
   * @param {{ partnerKnows?: boolean, partnerFailed?: boolean }} [options] `partnerKnows`: the partner has seen the same
   *   cause, or is its author, so it need not be told; `partnerFailed`: nothing is wrong on this side
   */
  constructor(message, { partnerKnows = false, partnerFailed = false } = {}) {
    super(message);
    this.name = "Failure";
    this.partnerKnows = partnerKnows;
    this.partnerFailed = partnerFailed;
  }
}
