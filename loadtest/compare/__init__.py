"""`tollgate loadtest compare`: a shared and a dedicated instance under Locust, in pictures. See README.md."""
