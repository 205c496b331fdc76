//! The user of a pair of keys, and the hosts of the account: <https://apidocs.leadsquared.com/user-authentication/>.

use serde_json::{Value, json};

use crate::admission::Admitted;

pub(crate) fn authenticate_user(call: &Admitted) -> Value {
    let (tenant, user) = (&call.account.tenant, &call.user);
    let own = call.world.base.get().map(|base| base.authority().to_owned()).unwrap_or_default();
    let api = call.world.settings.api_host.as_ref().unwrap_or(&own);
    let page = |path: &str| format!("http://{own}/{path}");
    json!({
        "Class": "1", "Group": "1", "SubRegionId": "1",
        "Id": user.id,
        "Name": user.name,
        // The login address is here; LeadSquared leaves the field `EmailAddress` empty.
        "PassPhrase": user.email,
        "EmailAddress": null,
        "Role": user.role.name(),
        "SessionId": "", "TokenId": null, "Type": "ApplicationUser", "UserType": "Regular",
        "TimeZone": tenant.time_zone,
        "OrgDisplayName": tenant.organisation,
        "OrgId": tenant.org_id,
        "OrgShortCode": tenant.short_code,
        "OrgUniqueName": format!("t{}", tenant.short_code),
        "DefaultCountryCode": tenant.country_code,
        "Website": "example.test",
        "Street1": "", "Street2": "", "City": "", "State": "", "Country": "", "Fax": "", "Zip": "",
        "Phone": "", "AssociatedPhoneNumbers": "",
        "RestrictedFeatures": null, "CustomerType": "Customer", "Plan": null,
        "MobileServiceURLs": {
            "ReportsURL": page(""), "FileUploadURL": page("File/Upload"), "MobileNotificationURL": page(""),
            "V1ServiceURL": page("v1"), "V2ServiceURL": page("v2"), "SalesTrackedURL": page(""),
            "MobileReportListURL": page(""), "AceURL": page(""),
        },
        "LSQCommonServiceURLs": {
            "api": api, "app": own, "tracking": own, "telephony": own, "analyticsapi": own,
            // Only this address has a scheme, as in the documentation's sample.
            "loginApp": format!("http://{own}"),
        },
        "AllowedClusters": null, "AllowedRegions": null,
    })
}
