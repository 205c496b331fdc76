//! The events that a webhook can be for, by LeadSquared's names and numbers.

/// Declares the events in one table.
macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident: $number:literal $name:literal)*) => {
        /// What a webhook can be for (<https://apidocs.leadsquared.com/webhooks/>).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EventType {
            $($(#[$doc])* $variant,)*
        }

        impl EventType {
            /// Every event.
            pub const ALL: &'static [EventType] = &[$(EventType::$variant),*];

            /// The name in deliveries and in lists of webhooks.
            pub const fn name(self) -> &'static str {
                match self {
                    $(EventType::$variant => $name,)*
                }
            }

            /// The number in calls that create or update a webhook
            /// (<https://apidocs.leadsquared.com/create-a-webhook/>).
            pub const fn number(self) -> &'static str {
                match self {
                    $(EventType::$variant => $number,)*
                }
            }
        }
    };
}

event_types! {
    /// A landing page was submitted.
    LandingPageSubmission: "1" "Landing_Page_submission"
    /// An activity was posted.
    ActivityCreate: "2" "LeadActivity_Post_Create"
    /// A lead was created.
    LeadCreate: "3" "Lead_Post_Create"
    /// A lead got another owner.
    LeadOwnerChange: "4" "Lead_Owner_Change"
    /// A lead got another stage.
    LeadStageChange: "5" "Lead_Post_Stage_Change"
    /// A lead was updated.
    LeadUpdate: "6" "Lead_Post_Update"
    /// A task was created.
    TaskCreate: "7" "Task_Create"
    /// A task is due.
    TaskReminder: "8" "Task_Reminder"
    /// A lead's score changed.
    LeadScoreChange: "9" "Lead_Score_Change"
    /// An activity was changed.
    ActivityUpdate: "15" "LeadActivity_Post_Update"
    /// A task was completed.
    TaskComplete: "16" "Task_Complete"
    /// A task was changed.
    TaskUpdate: "17" "Task_Update"
    /// One field of a lead changed.
    LeadFieldChange: "26" "Lead_Field_Change"
    /// A task was deleted.
    TaskDelete: "28" "Task_Delete"
    /// An opportunity was created. The page and the one account known disagree on the numbers of opportunity events.
    OpportunityCreate: "29" "Opportunity_Post_Create"
    /// An opportunity was changed.
    OpportunityUpdate: "30" "Opportunity_Post_Update"
    /// An opportunity was deleted.
    OpportunityDelete: "31" "Opportunity_Post_Delete"
}

impl EventType {
    /// The event of a name, in any letter case.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.name().eq_ignore_ascii_case(name))
    }

    /// The event of a number.
    pub fn of_number(number: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.number() == number)
    }
}
