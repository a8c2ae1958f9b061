"""The control process: starts and tends the workers, settles, and answers the admin API. See README.md."""
